"""Train nano's ControlNet (2302.05543) on Canny edges, beside its frozen text-to-image parent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from pydantic import Field
from torch import Tensor, nn

from nano.captioned import Captioned, CaptionedRecipe, cached_array, load_parts, take
from overpaint.errors import UserError
from overpaint.files import dir_aside
from overpaint.models.fingerprints import hash_weights
from overpaint.models.loading import load_network
from overpaint.pairs.canny import canny
from overpaint.seeds import derive_seed
from overpaint.training.loop import fit, make_accelerator
from overpaint.training.micro_step import MicroStep


class ControlNetRecipe(CaptionedRecipe, frozen=True):
    """`recipes/nano-controlnet.yaml`; world, size, scenes and edited as the parent has them."""

    conditioning_dropout_prob: float = Field(
        0.5, ge=0, lt=1, description="captions left out, so that edges say what a thing is"
    )
    conditioning_channels: tuple[int, ...] = Field(
        (16, 32, 96), description="of the layers that bring the edges to the latents' size"
    )
    canny_low: int = Field(100, ge=0)
    canny_high: int = Field(200, ge=0)


def build_controlnet(recipe: ControlNetRecipe, unet: UNet2DConditionModel) -> ControlNetModel:
    """A copy of the U-Net's encoder behind zero convolutions (2302.05543, section 3.1)."""
    torch.manual_seed(derive_seed(recipe.loop.seed, "controlnet"))
    return ControlNetModel.from_unet(
        unet, conditioning_embedding_out_channels=recipe.conditioning_channels
    )


def train_controlnet(
    recipe: ControlNetRecipe, parent: Path, out: Path, cache: Path | None = None
) -> Path:
    """Train on edges of captioned scenes and write `out`, a ControlNetModel folder.

    `parent` is the pipeline folder of the text-to-image model; log and checkpoints go beside
    `out`, to `OUT.training/run`, and the encoded pictures to `cache` (`OUT.training/cache` by default).

    Raises:
        UserError: there is no such parent.
    """
    if not (parent / "unet").is_dir():
        raise UserError(f"there is no {parent / 'unet'}: train the text-to-image model first.")
    work = out.with_name(f"{out.name}.training")
    state = make_accelerator(recipe.loop)
    parts = load_parts(parent, state.device)
    unet = load_network(UNet2DConditionModel, parent / "unet")
    unet.eval().requires_grad_(False).to(state.device)
    folder = cache or work / "cache"
    data = recipe.latents(parts, folder, state)
    edges = cached_edges(recipe.captioned(), recipe, folder, state.is_main_process)

    def loss(model: nn.Module, step: MicroStep) -> dict[str, Tensor]:
        batch = data.draw(step)
        known = (batch.noisy, batch.timesteps, batch.text)
        hint = hint_of(take(edges, batch.rows, step.device))
        down, middle = model(*known, controlnet_cond=hint, return_dict=False)
        predicted = unet(
            *known,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        return {"loss": F.mse_loss(predicted.float(), batch.wanted)}

    controlnet = build_controlnet(recipe, unet)
    fit(
        controlnet,
        loss,
        recipe.loop,
        work / "run",
        describe={
            **recipe.model_dump(mode="json", exclude={"loop"}),
            "vae": hash_weights(parts.vae),
            "text_encoder": hash_weights(parts.text_encoder),
            "unet": hash_weights(unet),
            "scheduler": parts.scheduler.to_json_string(),
        },
        name="controlnet",
    )
    if state.is_main_process:
        with dir_aside(out) as aside:
            controlnet.cpu().half().save_pretrained(aside, safe_serialization=True)
    state.wait_for_everyone()
    return out


def cached_edges(
    scenes: Captioned, recipe: ControlNetRecipe, folder: Path, is_main: bool
) -> np.ndarray:
    """The pictures' Canny edges: uint8 (count, size, size), 0 or 255, memory-mapped."""

    def fill(rows: range) -> dict[str, np.ndarray]:
        pictures = np.stack([scenes.picture(n) for n in rows])
        return {"edges": canny(pictures, recipe.canny_low, recipe.canny_high)}

    thresholds = [recipe.canny_low, recipe.canny_high]
    origin = {"scenes": scenes.describe(), "canny": thresholds}
    shape = (scenes.count, scenes.size, scenes.size)
    return cached_array(folder, "edges", origin, "edges", shape, "uint8", fill, is_main)


def hint_of(edges: Tensor) -> Tensor:
    """Edges (B, H, W) of 0 and 255 as ControlNet takes them: float32 (B, 3, H, W) in [0, 1]."""
    return (edges.float() / 255).unsqueeze(1).expand(-1, 3, -1, -1)
