"""Models that draw pictures from words, with a ControlNet beside them where one is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from overpaint.diffusion.guidance import Ask, text_asks
from overpaint.diffusion.sampling import Condition
from overpaint.errors import UserError
from overpaint.models.components import Components, make_ready
from overpaint.models.devices import pick_device, pick_dtype
from overpaint.models.directory import load_directory
from overpaint.models.fitting import check_network, check_parts, kind_of_unet
from overpaint.models.loading import load_network
from overpaint.models.names import NANO, find_model, is_hub_id
from overpaint.models.pipelines import load_model
from overpaint.models.stable_diffusion import StableDiffusion
from overpaint.sampler import SamplerSettings

if TYPE_CHECKING:
    import torch
    from diffusers import ControlNetModel

NANO_UNET = "text_to_image"
NANO_CONTROLNET = "controlnet"

_ACCEPTED = (
    "give `nano`, the folder of a diffusers ControlNet, "
    "or a hub id such as lllyasviel/sd-controlnet-canny"
)


@dataclass
class TextToImageModel(StableDiffusion):
    """Stable Diffusion that draws from words; `controlnet` steers its U-Net by a picture.

    Conditions: `text`, `null_text`; with a ControlNet (arXiv:2302.05543) `hint`, as the ControlNet
    takes it, and `hint_scale` (B,), the factor on all its residuals, in every branch alike.
    """

    controlnet: ControlNetModel | None = None

    def asks(self, settings: SamplerSettings) -> list[Ask]:
        """Classifier-free guidance by the text."""
        if settings.guidance_scale is None:
            raise ValueError("the settings of a sample must be complete")
        return text_asks(settings.guidance_scale)

    def predict(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        """What the U-Net answers, with what the ControlNet adds where there is a hint."""
        text, more = condition["text"], {}
        if "hint" in condition:
            more = self._residuals(noisy, times, condition)
        answer: Tensor = self.unet(noisy, times, text, return_dict=False, **more)[0]
        return answer

    def _residuals(self, noisy: Tensor, times: Tensor, condition: Condition) -> dict[str, Any]:
        if self.controlnet is None:
            raise ValueError(f"{self.name} was loaded without a ControlNet")
        down, middle = self.controlnet(
            noisy,
            times,
            encoder_hidden_states=condition["text"],
            controlnet_cond=condition["hint"],
            conditioning_scale=condition["hint_scale"].view(-1, 1, 1, 1),
            return_dict=False,
        )
        return {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }


def load_text_to_image(
    model: str | Path,
    controlnet: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> TextToImageModel:
    """Load a model that draws from words: its U-Net takes the noisy latents and nothing else.

    Args:
        model: `nano`, a diffusers folder, a .safetensors file in the original layout, a hub id.
        controlnet: `nano`, the folder of a ControlNetModel or of a pipeline that has one, a hub
            id, or None for none.
        device: see `pick_device`; dtype: see `pick_dtype`.

    Raises:
        UserError: nothing is there, it is broken, it edits instead of drawing, or the ControlNet
            belongs to another kind of U-Net.
    """
    device = pick_device(device)
    dtype = pick_dtype(dtype, device)
    parts = (
        _load_nano(dtype) if str(model) == "nano" else load_model(model, device=device, dtype=dtype)
    )
    loaded = TextToImageModel.of(parts)
    loaded.name = str(model)
    check_parts(loaded)
    _refuse_other_inputs(loaded)
    make_ready(loaded, device)
    if controlnet is not None:
        loaded.controlnet = _load_controlnet(controlnet, dtype)
        _refuse_misfit(loaded, loaded.controlnet, str(controlnet))
        loaded.controlnet.eval().requires_grad_(False).to(device)
    return loaded


def _load_nano(dtype: torch.dtype) -> Components:
    place = find_model("nano")
    _nano_part(NANO_UNET)
    return load_directory(Path(place.where), dtype, unet=NANO_UNET, scheduler=NANO_UNET)


def _nano_part(name: str) -> Path:
    """The folder of a part of nano that an installation may lack."""
    if not (NANO / name / "config.json").is_file():
        raise UserError(
            f"this installation of overpaint carries no {name} part of nano: install the released "
            "package, or train it with the recipes and give its folder."
        )
    return NANO / name


def _load_controlnet(name: str | Path, dtype: torch.dtype) -> ControlNetModel:
    from diffusers.models.controlnets.controlnet import ControlNetModel

    folder = _find_controlnet(name)
    return load_network(ControlNetModel, folder, f"the ControlNet {name}", dtype=dtype)


def _find_controlnet(name: str | Path) -> Path:
    """The folder that `name` means, with a ControlNet's configuration in it."""
    if str(name) == "nano":
        return _nano_part(NANO_CONTROLNET)
    folder = Path(name).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{name} is no ControlNet: {_ACCEPTED}.")
    if not folder.exists():
        if not is_hub_id(name):
            raise UserError(f"there is no ControlNet {str(name)!r}: {_ACCEPTED}.")
        from overpaint.models.hub import download_controlnet

        folder = download_controlnet(str(name))
    if not (folder / "config.json").is_file() and (folder / NANO_CONTROLNET).is_dir():
        folder = folder / NANO_CONTROLNET  # a pipeline's own
    if not (folder / "config.json").is_file():
        raise UserError(f"{name} is no ControlNet (it holds no config.json): {_ACCEPTED}.")
    return folder.resolve()


def _refuse_other_inputs(model: Components) -> None:
    takes, wanted = int(model.unet.config.in_channels), model.latent_channels
    if takes != wanted:
        advice = (
            "give the model it was trained from"
            if takes == 2 * wanted
            else "give a text-to-image model"
        )
        raise UserError(
            f"{model.name} cannot draw from words: its U-Net takes {takes} channels where a "
            f"text-to-image one takes {wanted}, so it is {kind_of_unet(takes, wanted)}; {advice}."
        )


def _refuse_misfit(model: Components, controlnet: ControlNetModel, name: str) -> None:
    """A ControlNet is a copy of the lower half of one U-Net, so the two must have one shape."""
    theirs, ours = controlnet.config, model.unet.config
    check_network(theirs, name, "ControlNet")
    shapes: dict[str, tuple[Any, Any]] = {
        key: (theirs[key], ours[key])
        for key in ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim")
    }
    # The hint is halved between the widths of its encoder until it is as small as the latents.
    factor = 2 ** (len(theirs["conditioning_embedding_out_channels"]) - 1)
    shapes["pixels per latent"] = (factor, model.vae_factor)
    # Hints are handed over encoded, where the order of their channels is past changing.
    order = "controlnet_conditioning_channel_order"
    shapes[order] = (theirs.get(order, "rgb"), "rgb")
    for key, (there, here) in shapes.items():
        if _plain(there) != _plain(here):
            raise UserError(
                f"the ControlNet {name} does not fit {model.name}: its {key} is {_plain(there)}, "
                f"the model's {_plain(here)}; take one that was trained for this model."
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
