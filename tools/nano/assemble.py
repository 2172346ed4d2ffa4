"""Put nano's parts into directories of stock classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_utils import SCHEDULER_CONFIG_NAME
from transformers import CLIPModel, CLIPTextModel

from overpaint.errors import UserError
from overpaint.files import dir_aside, write_json
from overpaint.models.loading import load_network


def noise_schedule() -> DDIMScheduler:
    """nano's schedule: SD 1.5's betas, v-prediction (2202.00512), latents never clipped.

    Rescaled so that the last step is noise alone, and sampled from that step on (2305.08891).
    With SD's own schedule the last step shows where things stand; a model of latents as small as
    nano's then reads that from the noise, and not from the caption.
    """
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def assemble_base(autoencoder_run: Path, clip_run: Path, out: Path) -> Path:
    """Write `out`: vae, text_encoder (CLIP's text tower), tokenizer, scheduler, clip.

    Raises:
        UserError: one of the runs has not finished.
    """
    for needed in (autoencoder_run / "model", clip_run / "model", clip_run / "tokenizer"):
        if not needed.is_dir():
            raise UserError(f"there is no {needed}: finish its training first.")
    vae = load_network(AutoencoderKL, autoencoder_run / "model")
    clip = load_network(CLIPModel, clip_run / "model")
    text_encoder = CLIPTextModel(clip.config.text_config)
    text_encoder.load_state_dict(clip.text_model.state_dict())
    with dir_aside(out) as aside:
        vae.save_pretrained(aside / "vae")
        clip.save_pretrained(aside / "clip")
        text_encoder.save_pretrained(aside / "text_encoder")
        shutil.copytree(clip_run / "tokenizer", aside / "tokenizer")
        noise_schedule().save_pretrained(aside / "scheduler")
    return out


def ship(editor: Path, base: Path, parent: Path, controlnet: Path, out: Path) -> Path:
    """Put what the package ships into `out`: the trained editor and, beside it, the whole CLIP,
    the text-to-image U-Net and its ControlNet.

    Weights are rounded to eight significant bits, those of bfloat16, before they are stored as
    float16: git compresses them better, and history keeps every copy. The model card
    (`README.md`) is written by hand and stays as it is.

    Raises:
        UserError: one of them is no finished training run's output.
    """
    for needed in (editor / "model_index.json", parent / "model_index.json", controlnet):
        if not needed.exists():
            raise UserError(f"there is no {needed}: finish its training first.")
    card = out / "README.md"
    with dir_aside(out) as aside:
        shutil.copytree(editor, aside, dirs_exist_ok=True)
        (aside / "README.md").unlink(missing_ok=True)
        _shorten(load_network(UNet2DConditionModel, aside / "unet"), aside / "unet")
        _shorten(load_network(UNet2DConditionModel, parent / "unet"), aside / "text_to_image")
        shutil.copy(parent / "scheduler" / SCHEDULER_CONFIG_NAME, aside / "text_to_image")
        _shorten(load_network(ControlNetModel, controlnet), aside / "controlnet")
        clip = load_network(CLIPModel, base / "clip").half()
        # transformers would load float16 weights as float16, which processors compute slowly.
        clip.config.dtype = torch.float32
        clip.save_pretrained(aside / "clip")
        for config in aside.glob("*/config.json"):
            values = json.loads(config.read_text(encoding="utf-8"))
            values.pop("_name_or_path", None)  # where it lay while it was trained
            write_json(config, values)
        if card.is_file():
            shutil.copy(card, aside / "README.md")
    return out


def _shorten(model: ModelMixin, folder: Path) -> None:
    model.to(torch.bfloat16).to(torch.float16).save_pretrained(folder, safe_serialization=True)
