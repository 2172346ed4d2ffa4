"""The parts of a Stable Diffusion pipeline, held in a small dataclass.

diffusers' pipeline classes pull in far more than an edit uses (5.7 s of imports), so the stock
components are loaded directly, one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from overpaint.errors import UserError
from overpaint.models.folders import in_words, read_table
from overpaint.sampler import PAPER, SamplerSettings

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

DEFAULTS_FILE = "overpaint.json"
MOST_STEPS = 10_000


@dataclass
class Components:
    """The stock parts of a Stable Diffusion pipeline, in evaluation mode on one device.

    `scheduler` serves as the pattern from which each run makes its own. `defaults` are the settings
    at which the model works best; `overpaint.json` in its folder holds them.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: Any
    name: str = ""
    defaults: SamplerSettings = PAPER

    @property
    def device(self) -> torch.device:
        """Where the U-Net is."""
        device: torch.device = self.unet.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the U-Net's weights."""
        dtype: torch.dtype = self.unet.dtype
        return dtype

    @property
    def vae_factor(self) -> int:
        """Pixels per latent along one side: 8 for Stable Diffusion, 4 for nano."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def latent_channels(self) -> int:
        """C: the editing U-Net takes 2C channels."""
        return int(self.vae.config.latent_channels)

    @property
    def native_size(self) -> int:
        """The side in pixels of the pictures that the model was made for."""
        side = self.unet.config.sample_size
        if side is None:
            return int(self.vae.config.sample_size)
        return int(side if isinstance(side, int) else max(side)) * self.vae_factor

    @property
    def coarsest_factor(self) -> int:
        """Pixels per cell of the U-Net's coarsest level: 64 for Stable Diffusion."""
        return self.vae_factor * int(2 ** (len(self.unet.config.block_out_channels) - 1))


def make_ready(model: Components, device: torch.device) -> None:
    """Put the networks on `device`, in evaluation mode."""
    for part in (model.unet, model.vae, model.text_encoder):
        part.eval().requires_grad_(False).to(device)


def read_defaults(folder: Path) -> SamplerSettings:
    """The model's `overpaint.json`, or the paper's figures where there is none.

    Raises:
        UserError: the file is broken, or has a key or a value that means nothing.
    """
    path = folder / DEFAULTS_FILE
    if not path.is_file():
        return PAPER
    values = read_table(path, f"{path.name} of {folder}")
    unknown = sorted(values.keys() - SamplerSettings.model_fields.keys())
    if unknown:
        raise UserError(
            f"{path} is broken: it has a key {in_words(unknown[0])!r} that is not known."
        )
    steps = values.get("num_inference_steps", 1)
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= MOST_STEPS:
        raise UserError(
            f"{path}: num_inference_steps must be a whole number from 1 to {MOST_STEPS}."
        )
    try:
        return SamplerSettings.model_validate(values, strict=True).over(PAPER)
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        raise UserError(f"{path}: {name} must be a number from 0.") from None
