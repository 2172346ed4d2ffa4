"""The parts of a Stable Diffusion pipeline, loaded one by one.

diffusers' pipeline classes pull in far more than an edit uses (5.7 s of imports), so the
stock components are loaded directly and held in a small dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.errors import UserError
from overpaint.files import read_json
from overpaint.models.devices import pick_device, pick_dtype
from overpaint.models.names import ACCEPTED, find_model

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

DEFAULTS_FILE = "overpaint.json"


@dataclass(frozen=True)
class EditDefaults:
    """The settings at which a model edits best; `overpaint.json` in its folder holds them."""

    num_inference_steps: int = 50
    guidance_scale: float = 7.5
    image_guidance_scale: float = 1.5


@dataclass
class Components:
    """The stock parts of a Stable Diffusion pipeline, in evaluation mode on one device.

    `scheduler` serves as the pattern from which each run makes its own.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: Any
    name: str = ""

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


@dataclass
class EditingModel(Components):
    """The parts of a pipeline that edits, and the settings at which it does so best."""

    defaults: EditDefaults = field(default_factory=EditDefaults)


def load_editing_model(
    name: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> EditingModel:
    """Load a model that edits: its U-Net takes the picture's latents beside the noisy ones.

    Args:
        name: `nano`, a diffusers folder, a .safetensors file in the original layout, a hub id.
        device: see `pick_device`; dtype: see `pick_dtype`.

    Raises:
        UserError: nothing is there, it is broken, or it is a model that cannot edit.
    """
    model = load_model(name, device=device, dtype=dtype)
    takes, wanted = int(model.unet.config.in_channels), 2 * model.latent_channels
    if takes != wanted:
        kind = (
            "a text-to-image model" if takes == model.latent_channels else "another kind of model"
        )
        raise UserError(
            f"{name} cannot edit: its U-Net takes {takes} channels where an editing one takes "
            f"{wanted}, so it is {kind}; train an editor from it with `overpaint train`."
        )
    return model


def load_model(
    name: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> EditingModel:
    """Load any Stable Diffusion 1.x-shaped pipeline; as `load_editing_model`, less its check."""
    path = fetch_model(name)
    device = pick_device(device)
    dtype = pick_dtype(dtype, device)
    if path.is_file():
        from overpaint.models.single_file import load_single_file

        model = load_single_file(path, dtype)
    else:
        from overpaint.models.directory import load_directory

        model = load_directory(path, dtype)
    model.name = str(name)
    make_ready(model, device)
    return model


def fetch_model(name: str | Path) -> Path:
    """Where the folder or file is that `name` means; a model of the hub is brought into its cache.

    Raises:
        UserError: there is no such model, or the hub cannot be reached.
    """
    place = find_model(name)
    if place.kind != "hub":
        return Path(place.where)
    from overpaint.models.hub import download_pipeline

    return download_pipeline(place.where)


def make_ready(model: Components, device: torch.device) -> None:
    """Put the networks on `device`, in evaluation mode."""
    for part in (model.unet, model.vae, model.text_encoder):
        part.eval().requires_grad_(False).to(device)


def read_defaults(folder: Path) -> EditDefaults:
    """The model's `overpaint.json`, or the paper's figures where there is none.

    Raises:
        UserError: the file is broken, or has a key or a value that means nothing.
    """
    path = folder / DEFAULTS_FILE
    if not path.is_file():
        return EditDefaults()
    try:
        defaults = EditDefaults(**read_json(path, dict))
    except TypeError as error:
        raise UserError(f"{path} is broken: {error}.") from None
    numbers = (defaults.guidance_scale, defaults.image_guidance_scale)
    if not isinstance(defaults.num_inference_steps, int) or defaults.num_inference_steps < 1:
        raise UserError(f"{path}: num_inference_steps must be a whole number from 1.")
    if not all(isinstance(number, int | float) for number in numbers):
        raise UserError(f"{path}: guidance_scale and image_guidance_scale must be numbers.")
    return defaults


def broken_model(where: Path, part: str, error: Exception | str) -> UserError:
    """The sentence for a model that is there but cannot be loaded."""
    words = " ".join(str(error).split())
    if len(words) > 200:
        words = words[:200] + "..."
    return UserError(f"the {part} of {where} cannot be loaded ({words}): {ACCEPTED}.")
