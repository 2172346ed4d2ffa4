"""What training starts from: a base's frozen networks, and the U-Net that is to learn."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers.models.clip.modeling_clip import CLIPTextModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from overpaint.diffusion.noising import PREDICTIONS
from overpaint.diffusion.widening import widen_conv_in
from overpaint.errors import UserError
from overpaint.files import read_json
from overpaint.models import (
    Components,
    EditingModel,
    load_model,
    load_text_to_image,
    quiet_libraries,
)
from overpaint.models.names import PARENT
from overpaint.seeds import derive_seed
from overpaint.training.settings import TrainSettings


def load_base(model: str | Path, settings: TrainSettings, device: torch.device) -> EditingModel:
    """The base in float32, with a U-Net of 2C input channels ready to be trained.

    `model` is what `models.load_model` takes, or PARENT.
    With `settings.unet` that U-Net has fresh weights, and `model` may be a folder that holds
    vae/, text_encoder/, tokenizer/ and scheduler/ only.

    Raises:
        UserError: the base cannot be loaded or does not fit the settings.
    """
    if _is_parts(model, settings):
        base = _load_without_unet(Path(model), settings)
    else:
        base = (
            _load_parent()
            if str(model) == PARENT
            else load_model(model, device="cpu", dtype="float32")
        )
        if settings.unet is not None:
            base.unet = fresh_unet(settings, base.vae, base.text_encoder)
    _check(base, settings)
    base.unet = widen_conv_in(base.unet, 2 * base.latent_channels)
    base.unet.requires_grad_(True)
    for part in (base.vae, base.text_encoder):
        part.eval().requires_grad_(False).to(device)
    return base


def fresh_unet(settings: TrainSettings, vae: Any, text_encoder: Any) -> UNet2DConditionModel:
    """A U-Net of `settings.unet` with random weights that depend on the seed alone.

    Channels, text width and sample size follow the base where the block leaves them out.

    Raises:
        UserError: a key or value is none that UNet2DConditionModel takes.
    """
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    given = settings.unet or {}
    follows = {
        "in_channels": 2 * vae.config.latent_channels,
        "out_channels": vae.config.latent_channels,
        "cross_attention_dim": text_encoder.config.hidden_size,
        "sample_size": settings.resolution // factor,
    }
    for key in ("in_channels", "out_channels", "cross_attention_dim"):
        if given.get(key, follows[key]) != follows[key]:
            raise UserError(f"train.unet.{key} is {given[key]}, but the base needs {follows[key]}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(settings.seed, "unet"))
        try:
            return UNet2DConditionModel(**{**follows, **given})
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            words = " ".join(str(error).split())[:200]
            raise UserError(f"train.unet describes no UNet2DConditionModel: {words}.") from error


def _load_without_unet(folder: Path, settings: TrainSettings) -> EditingModel:
    try:
        name = read_json(folder / "scheduler/scheduler_config.json", dict)["_class_name"]
        with quiet_libraries():
            vae = AutoencoderKL.from_pretrained(folder / "vae", use_safetensors=True)
            text_encoder = CLIPTextModel.from_pretrained(
                folder / "text_encoder", use_safetensors=True
            )
            tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
            scheduler = getattr(diffusers, name).from_pretrained(folder / "scheduler")
    except (UserError, OSError, ValueError, KeyError, AttributeError) as error:
        words = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder} cannot be trained from: it must hold vae, text_encoder, tokenizer and "
            f"scheduler as diffusers writes them ({words})."
        ) from error
    vae, text_encoder = vae.float(), text_encoder.float()
    unet = fresh_unet(settings, vae, text_encoder)
    return EditingModel(unet, vae, text_encoder, tokenizer, scheduler, name=str(folder))


def _load_parent() -> EditingModel:
    """nano's text-to-image model, as what an editor starts from."""
    parent = load_text_to_image("nano", device="cpu", dtype="float32")
    parts = {field.name: getattr(parent, field.name) for field in fields(Components)}
    return EditingModel(**{**parts, "name": PARENT})


def _is_parts(model: str | Path, settings: TrainSettings) -> bool:
    """Whether `model` is a folder of all parts but the U-Net, which is to be a fresh one."""
    folder = Path(model)
    return settings.unet is not None and folder.is_dir() and not (folder / "unet").is_dir()


def _check(base: EditingModel, settings: TrainSettings) -> None:
    latent = base.latent_channels
    if base.unet.config.in_channels not in (latent, 2 * latent):
        raise UserError(
            f"{base.name} cannot become an editor: its U-Net takes {base.unet.config.in_channels} "
            f"channels where {latent} (text to image) or {2 * latent} (editing) are needed."
        )
    if settings.resolution % base.coarsest_factor:
        raise UserError(
            f"train.resolution {settings.resolution} does not fit {base.name}: "
            f"it must be a multiple of {base.coarsest_factor}."
        )
    config = base.scheduler.config
    if config.get("prediction_type", "epsilon") not in PREDICTIONS:
        raise UserError(
            f"{base.name} has a scheduler with prediction_type {config.get('prediction_type')}: "
            f"training knows {', '.join(PREDICTIONS)}."
        )
    if not hasattr(base.scheduler, "alphas_cumprod"):
        raise UserError(
            f"{base.name} has a {type(base.scheduler).__name__}, which is no schedule of discrete "
            "steps: give the base a DDIM, DDPM, PNDM or Euler scheduler."
        )
    if config.get("clip_sample"):  # latents are not pixels: clipped, every picture comes out grey
        base.scheduler = type(base.scheduler).from_config(config, clip_sample=False)
