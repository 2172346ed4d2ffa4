"""What the figures of an evaluation are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from overpaint.digests import digest
from overpaint.editing import Editor
from overpaint.errors import UserError
from overpaint.evaluation.cases import CaseSet
from overpaint.evaluation.runs import SamplingSettings
from overpaint.models import pick_device, pick_dtype
from overpaint.models.origin import clip_origin, model_origin


@dataclass(frozen=True)
class Judges:
    """Which CLIP and DINO judge; None leaves their metrics out."""

    clip: str | None = None
    dino: str | None = None

    def available(self) -> Judges:
        """Those of them that are here, or on a hub that answers."""
        return Judges(
            self.clip if _is_there(clip_origin, self.clip) else None,
            self.dino if _is_there(model_origin, self.dino) else None,
        )

    def origin(self) -> dict[str, str | None]:
        """What tells each from another: the content of its files, or its commit on the hub."""
        return {
            "clip": None if self.clip is None else clip_origin(self.clip),
            "dino": None if self.dino is None else model_origin(self.dino),
        }


def _is_there(origin: Callable[[str], str], name: str | None) -> bool:
    try:
        return name is not None and bool(origin(name))
    except UserError:
        return False


def basis_of(
    cases: CaseSet,
    judges: Judges,
    settings: SamplingSettings,
    device: str | None,
    dtype: str | None,
) -> dict[str, Any]:
    """What the figures of all models share: cases (wherever their folder lies), judges, settings."""
    place = pick_device(device)
    return {
        "cases": {key: value for key, value in cases.settings.items() if key != "folder"},
        "judges": judges.origin(),
        "settings": settings.model_dump(exclude={"batch_size"}),
        "device": place.type,
        "dtype": str(pick_dtype(dtype, place)).removeprefix("torch."),
    }


def sampling_of_editor(editor: Editor, settings: SamplingSettings) -> dict[str, Any]:
    """How the model samples, its own defaults filled in, and on what kind of device."""
    own = editor.card.defaults.model_dump()
    given = settings.model_dump(exclude={"batch_size"})
    filled = {key: own.get(key) if value is None else value for key, value in given.items()}
    return {
        **filled,
        "resolution": settings.resolution or editor.card.native_size,
        "device": editor.card.device.partition(":")[0],
        "dtype": editor.card.dtype,
    }


def photographs_origin(folder: Path | None) -> str | None:
    """A digest of the pictures of the bias audit; None where it draws its own."""
    return None if folder is None else digest(folder)


def picture_digest(picture: Image.Image) -> str:
    """SHA-256 of a picture's mode, size and pixels."""
    words = f"{picture.mode} {picture.size} ".encode()
    return sha256(words + picture.tobytes()).hexdigest()
