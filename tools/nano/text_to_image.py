"""Train nano's text-to-image parent: the U-Net from which the editing one starts.

Latent diffusion conditioned on captions (2112.10752, equation 3), with the captions dropped now
and then for classifier-free guidance (2207.12598).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from pydantic import Field
from torch import Tensor, nn

from nano.captioned import CaptionedRecipe, Parts, load_parts
from overpaint.contact_sheets import Cell, contact_sheet
from overpaint.images import save_image
from overpaint.models import quiet_libraries, save_pipeline
from overpaint.models.fingerprints import hash_weights
from overpaint.sampler import SamplerSettings
from overpaint.seeds import derive_seed
from overpaint.training.loop import fit, make_accelerator
from overpaint.training.micro_step import MicroStep

_SHEET = 12  # captions on a validation sheet


class TextToImageRecipe(CaptionedRecipe, frozen=True):
    """`recipes/nano-text-to-image.yaml`."""

    unet: dict[str, Any] = Field(description="the rest of UNet2DConditionModel's config")
    num_inference_steps: int = Field(20, ge=1, description="of the validation sheets, and the")
    guidance_scale: float = Field(4.0, ge=1, description="defaults that the model is stored with")


def build_unet(recipe: TextToImageRecipe, vae: Any, text_encoder: Any) -> UNet2DConditionModel:
    """The untrained U-Net; its weights depend on the recipe's seed alone."""
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    torch.manual_seed(derive_seed(recipe.loop.seed, "text-to-image unet"))
    return UNet2DConditionModel(
        in_channels=vae.config.latent_channels,
        out_channels=vae.config.latent_channels,
        cross_attention_dim=text_encoder.config.hidden_size,
        sample_size=recipe.size // factor,
        **recipe.unet,
    )


def train_text_to_image(
    recipe: TextToImageRecipe, base: Path, out: Path, cache: Path | None = None
) -> Path:
    """Train on captioned scenes and write `out`, a StableDiffusionPipeline folder.

    `base` gives vae, text_encoder, tokenizer and scheduler; sheets go beside `out`, to
    `OUT.training`, log and checkpoints to its `run/`, the encoded pictures to `cache` (its `cache/`
    by default).
    """
    work = out.with_name(f"{out.name}.training")
    state = make_accelerator(recipe.loop)
    parts = load_parts(base, state.device)
    scenes, data = recipe.captioned(), recipe.latents(parts, cache or work / "cache", state)
    unet = build_unet(recipe, parts.vae, parts.text_encoder)
    captions = [scenes.scene(scenes.count + n)[1] for n in range(_SHEET)]  # none of those learnt

    def validate(model: nn.Module, done: int) -> dict[str, float]:
        _draw_sheet(model, parts, captions, recipe, work / "sheets" / f"step-{done:07d}.png")
        return {}

    def loss(model: nn.Module, step: MicroStep) -> dict[str, Tensor]:
        batch = data.draw(step)
        predicted = model(batch.noisy, batch.timesteps, batch.text, return_dict=False)[0]
        return {"loss": F.mse_loss(predicted.float(), batch.wanted)}

    fit(
        unet,
        loss,
        recipe.loop,
        work / "run",
        validate=validate,
        describe={
            **recipe.model_dump(mode="json", exclude={"loop", *_FREE}),
            "vae": hash_weights(parts.vae),
            "text_encoder": hash_weights(parts.text_encoder),
            "scheduler": parts.scheduler.to_json_string(),
        },
        name="text to image",
    )
    if state.is_main_process:
        _save(unet, parts, recipe, out)
    state.wait_for_everyone()
    return out


_FREE = {"num_inference_steps", "guidance_scale"}  # they change no weight


def _draw_sheet(
    unet: nn.Module, parts: Parts, captions: list[str], recipe: TextToImageRecipe, path: Path
) -> None:
    """Draw captions that no training step sees."""
    with quiet_libraries():
        pipeline = StableDiffusionPipeline(
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            unet=unet,
            scheduler=DDIMScheduler.from_config(parts.scheduler.config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        pictures = pipeline(
            captions,
            height=recipe.size,
            width=recipe.size,
            num_inference_steps=recipe.num_inference_steps,
            guidance_scale=recipe.guidance_scale,
            generator=[torch.Generator().manual_seed(n) for n in range(len(captions))],
        ).images
    cells = [Cell(image, caption) for image, caption in zip(pictures, captions, strict=True)]
    save_image(contact_sheet(cells, 4, title=path.stem), path)


def _save(unet: Any, parts: Parts, recipe: TextToImageRecipe, out: Path) -> None:
    for part in (unet, parts.vae, parts.text_encoder):
        part.eval().cpu()
    with quiet_libraries():
        save_pipeline(
            out,
            unet=unet,
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            scheduler=parts.scheduler,
            defaults=SamplerSettings(
                num_inference_steps=recipe.num_inference_steps,
                guidance_scale=recipe.guidance_scale,
                image_guidance_scale=1.0,
            ),
        )
