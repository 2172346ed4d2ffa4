"""Train nano's `AutoencoderKL`: pictures of 64 or 128 px to 16 x 16 latents, and back.

With `latent_noise` the decoder learns to draw from latents that are not quite right, as a
denoiser's are: each sample's are moved by noise of up to so many of their standard deviations.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from pydantic import BaseModel, Field
from torch import Tensor, nn

from nano.pictures import captioned, crowded, sample_seeds
from overpaint.files import dir_aside
from overpaint.scenes.catalogue import World
from overpaint.scenes.layout import Version
from overpaint.training.loop import fit
from overpaint.training.micro_step import MicroStep
from overpaint.training.settings import LoopSettings

_HELD_OUT_SEED = 7  # the pictures that quality is measured on
_MEASURED, _AT_ONCE = 128, 32


class AutoencoderRecipe(BaseModel, extra="forbid", frozen=True):
    """`recipes/nano-autoencoder.yaml`."""

    world: World = "small"
    version: Version = 1
    size: int = Field(64, ge=16, description="side of the pictures in pixels")
    kl_weight: float = Field(1e-8, ge=0, description="of the KL term, summed over a picture")
    channels: tuple[int, ...] = (32, 32, 32)
    latent_channels: int = 8
    latent_noise: float = Field(
        0, ge=0, description="on the latents at most, in their standard deviations"
    )
    loop: LoopSettings


class Reconstruct(nn.Module):
    """The forward that training calls: a sample of the posterior, decoded; and the KL term."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, pictures: Tensor, noise: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """`noise` (B, C, h, w), of `level` (B,) times the batch's deviation besides its own."""
        posterior = self.autoencoder.encode(pictures).latent_dist
        spread = level[:, None, None, None] * posterior.mean.std()
        latents = posterior.mean + (posterior.var + spread**2).sqrt() * noise
        return self.autoencoder.decode(latents).sample, posterior.kl().mean()


def build_autoencoder(recipe: AutoencoderRecipe) -> AutoencoderKL:
    """The untrained autoencoder; its weights depend on the recipe's seed alone."""
    torch.manual_seed(recipe.loop.seed)
    levels = len(recipe.channels)
    return AutoencoderKL(
        block_out_channels=recipe.channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=0,  # on two cores, width serves better than depth
        latent_channels=recipe.latent_channels,
        norm_num_groups=1,  # keeps the channels' proportions, which carry flat colours
        sample_size=recipe.size,
        mid_block_add_attention=False,
    )


def train_autoencoder(recipe: AutoencoderRecipe, out: Path) -> Path:
    """Train, bring the latents to mean 0 and deviation 1, and write `out/model` (diffusers, safetensors)."""
    latent_side = recipe.size // 2 ** (len(recipe.channels) - 1)

    def loss(model: nn.Module, step: MicroStep) -> dict[str, Tensor]:
        seeds = sample_seeds(step, step.size, "ae")
        pictures = crowded(seeds, recipe.world, recipe.size, recipe.version).to(step.device)
        noise = step.normal(recipe.latent_channels, latent_side, latent_side)
        decoded, kl = model(pictures, noise, recipe.latent_noise * step.uniform())
        error = F.mse_loss(decoded.float(), pictures)
        absolute = F.l1_loss(decoded.float(), pictures)
        return {"loss": error + absolute + recipe.kl_weight * kl, "mse": error, "kl": kl}

    def validate(model: nn.Module, done: int) -> dict[str, float]:
        assert isinstance(model, Reconstruct)
        return {"psnr": measure(model.autoencoder, recipe)[0]}

    model = Reconstruct(build_autoencoder(recipe))
    fit(
        model,
        loss,
        recipe.loop,
        out,
        validate=validate,
        describe=recipe.model_dump(mode="json", exclude={"loop"}),
        name="autoencoder",
    )
    autoencoder = model.autoencoder
    _, means, deviations = measure(autoencoder, recipe)
    standardise(autoencoder, means, deviations)
    autoencoder.register_to_config(scaling_factor=1.0)
    with dir_aside(out / "model") as aside:
        autoencoder.save_pretrained(aside, safe_serialization=True)
    return out / "model"


@torch.no_grad()
def standardise(autoencoder: AutoencoderKL, means: Tensor, deviations: Tensor) -> None:
    """Move the latents of each channel, of these means and deviations (C,), to 0 and 1.

    The pictures stay what they are: the decoder undoes it. Source latents reach the editor
    unscaled, so that their own scale decides how strongly it sees them.
    """
    into, back = autoencoder.quant_conv, autoencoder.post_quant_conv
    channels = len(means)
    into.weight[:channels] /= deviations[:, None, None, None]
    into.bias[:channels] -= means
    into.bias[:channels] /= deviations
    into.bias[channels:] -= 2 * deviations.log()  # of the posterior's variance
    back.bias += back.weight[:, :, 0, 0] @ means
    back.weight *= deviations[:, None, None]


@torch.no_grad()
def measure(autoencoder: AutoencoderKL, recipe: AutoencoderRecipe) -> tuple[float, Tensor, Tensor]:
    """PSNR in dB (peak 255) on 128 pictures of no training step, and the means and deviations of
    their latents' channels (C,)."""
    step = MicroStep(0, 0, 1, _MEASURED, _HELD_OUT_SEED)
    seeds = sample_seeds(step, _MEASURED, "measure")
    pictures, _ = captioned(seeds, recipe.world, recipe.size, recipe.version)
    errors, latents = [], []
    for some in pictures.to(autoencoder.device).split(_AT_ONCE):
        latents.append(autoencoder.encode(some).latent_dist.mode())
        decoded = autoencoder.decode(latents[-1]).sample.clamp(-1, 1)
        errors.append(F.mse_loss(decoded, some) / 4)  # [-1, 1] spans 2
    decibel = -10 * torch.log10(torch.stack(errors).mean()).item()
    per_channel = torch.cat(latents).transpose(0, 1).flatten(1)
    return decibel, per_channel.mean(dim=1), per_channel.std(dim=1)
