"""Which models the settings mean, and what tells them from others."""

from __future__ import annotations

from pathlib import Path

from overpaint.models.names import find_model
from overpaint.models.origin import clip_origin, model_origin
from overpaint.pairs.settings import SD_CLIP, PairsSettings


def clip_name(settings: PairsSettings) -> str:
    """The CLIP that scores: the one that is asked for, the model's own, or Stable Diffusion's."""
    if settings.clip is not None:
        return settings.clip
    has_own = settings.model == "nano" or Path(settings.model, "clip").expanduser().is_dir()
    return settings.model if has_own else SD_CLIP


def controlnet_name(settings: PairsSettings) -> str | None:
    """The ControlNet: the one that is asked for, or the model's own; None for the other method."""
    if settings.method != "controlnet":
        return None
    return settings.controlnet or settings.model


def model_ids(settings: PairsSettings) -> str:
    """The column `model` of a pair: what drew it, and the ControlNet where that was named."""
    beside = (
        f" + {settings.controlnet}" if settings.controlnet and controlnet_name(settings) else ""
    )
    return f"{settings.model}{beside}"


def origins(settings: PairsSettings) -> dict[str, str | None]:
    """What tells each part's model from another: see `models.origin`.

    Raises:
        UserError: there is no such model, or a file of a part cannot be read.
    """
    find_model(settings.model)
    controlnet = controlnet_name(settings)
    return {
        "model": model_origin(settings.model),
        "controlnet": None if controlnet is None else model_origin(controlnet),
        "clip": clip_origin(clip_name(settings)),
    }
