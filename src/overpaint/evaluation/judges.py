"""The models that judge, by name: which of them are there, what they are, and how they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from overpaint.errors import UserError
from overpaint.evaluation.scoring import Scorer
from overpaint.models import pick_device
from overpaint.models.clip import load_clip
from overpaint.models.dino import load_dino
from overpaint.models.origin import clip_origin, model_origin

Note = Callable[[str], None]
"""Takes a sentence for the user and the report's notes."""


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


def load_judges(judges: Judges, device: str | None, note: Note = lambda _: None) -> Scorer:
    """CLIP and DINO on a device; what cannot be had is left out, with a sentence to `note`."""
    scorer, place = Scorer(), pick_device(device)
    if judges.clip is None:
        note("CLIP similarities were left out: no CLIP was given (--clip).")
    else:
        try:
            scorer.clip = load_clip(judges.clip, place)
        except UserError as error:
            note(f"CLIP similarities were left out: {error}")
    if judges.dino is None:
        note("DINO similarity was left out: no DINO was given (--dino facebook/dino-vits16).")
    else:
        try:
            scorer.dino = load_dino(judges.dino, place)
        except UserError as error:
            note(f"DINO similarity was left out: {error}")
    return scorer


def _is_there(origin: Callable[[str], str], name: str | None) -> bool:
    try:
        return name is not None and bool(origin(name))
    except UserError:
        return False
