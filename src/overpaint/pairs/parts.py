"""Which models the settings mean, and what tells them from others."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from overpaint.files import quick_hash
from overpaint.models.names import clip_folders, find_model, place_of
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


def fingerprints(settings: PairsSettings) -> dict[str, str | None]:
    """By part a hash of its files here, or its id on the hub.

    Raises:
        UserError: there is no such model, or a file of a part cannot be read.
    """
    controlnet, hashed = controlnet_name(settings), cache(quick_hash)  # the two may be one folder

    def fingerprint(name: str | Path) -> str:
        place = place_of(name)
        return hashed(place)[:16] if place.exists() else str(name)

    return {
        "model": fingerprint(find_model(settings.model).where),
        "controlnet": None if controlnet is None else fingerprint(controlnet),
        "clip": fingerprint(clip_folders(clip_name(settings))[0]),
    }
