"""The sections of a report that take further edits: curve, galleries, audit of attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from overpaint.audits import galleries
from overpaint.audits.bias import audit_drawn_people, audit_photos
from overpaint.audits.curve import trade_off
from overpaint.audits.galleries import Gallery, Shot
from overpaint.editing import Editor
from overpaint.engine import Engine
from overpaint.errors import UserError
from overpaint.evaluation.cases import Case, CaseSet
from overpaint.evaluation.kept import kept_result
from overpaint.evaluation.origin import Judges, photographs_origin, picture_digest
from overpaint.evaluation.runs import SamplingSettings
from overpaint.evaluation.scoring import Scorer
from overpaint.evaluation.settings import IMAGE_SCALES
from overpaint.models.clip import Clip
from overpaint.report.page import Pictures
from overpaint.report.schema import ModelReport
from overpaint.report.sections import BiasAudit, Drift
from overpaint.scenes.dataset import drawn_by

Say = Callable[[str], None]


@dataclass(frozen=True)
class Extras:
    """The sections that take further edits."""

    curve: bool = False
    curve_cases: int = 104
    image_scales: tuple[float, ...] = IMAGE_SCALES
    text_scales: tuple[float, ...] = ()
    galleries: bool = False
    drift_scenes: int = 24
    picture: Image.Image | None = None
    instructions: tuple[str, ...] = ()
    bias: bool = False
    bias_folder: Path | None = None

    def origin(self) -> dict[str, Any]:
        """What is asked for, with digests of the pictures (JSON values); no setting of the others."""
        found: dict[str, Any] = {}
        if self.curve:
            names = ("curve_cases", "image_scales", "text_scales")
            found["curve"] = {name: getattr(self, name) for name in names}
        if self.galleries:
            picture = None if self.picture is None else picture_digest(self.picture)
            found["galleries"] = {
                "drift_scenes": self.drift_scenes,
                "picture": picture,
                "instructions": self.instructions,
            }
        if self.bias:
            found["bias"] = {"photographs": photographs_origin(self.bias_folder)}
        return found


@dataclass(frozen=True)
class Setting:
    """What all models of a report share."""

    cases: CaseSet
    scorer: Scorer
    judges: Judges
    sampling: SamplingSettings
    extras: Extras
    folder: Path
    """of what is kept for a rerun"""
    basis: dict[str, Any]
    engine: Engine | None


@dataclass
class Made:
    """What was made of the models so far."""

    models: list[ModelReport] = field(default_factory=list)
    pictures: Pictures = field(default_factory=Pictures)
    sections: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"curves": {}, "drift": {}, "bias": {}}
    )
    complete: bool = True
    """nothing was set aside that a rerun may make"""


def add_sections(
    editor: Editor,
    label: str,
    setting: Setting,
    origin: Mapping[str, Any],
    made: Made,
    note: Say,
) -> None:
    """The curve, the galleries and the audit of one model, those that are asked for."""
    extras, scorer, settings = setting.extras, setting.scorer, setting.sampling
    folder = setting.folder
    if extras.curve:
        if scorer.clip is None:
            note("The trade-off curve was left out: it needs a CLIP (--clip).")
        else:
            made.sections["curves"][label] = trade_off(
                editor,
                first_cases(setting.cases, extras.curve_cases),
                scorer,
                settings,
                folder / "curve",
                origin,
                image_scales=extras.image_scales,
                text_scales=extras.text_scales,
            )
    if extras.galleries:
        drift, shown = _galleries(editor, setting.cases, settings, extras, folder, origin)
        made.sections["drift"][label] = drift
        made.pictures.galleries[label] = shown
    if extras.bias:
        found = _audit(editor, scorer.clip, settings, extras, folder, origin, note)
        if found is not None:
            made.sections["bias"][label], made.pictures.bias[label] = found


def _galleries(
    editor: Editor,
    cases: CaseSet,
    settings: SamplingSettings,
    extras: Extras,
    folder: Path,
    origin: Mapping[str, Any],
) -> tuple[Drift, list[Gallery]]:
    picture, text = extras.picture, (extras.instructions or ("",))[0]
    split, world = cases.settings.get("split", "heldout"), cases.settings.get("world", "small")
    if picture is None:
        first = first_cases(cases, 1)[0]
        picture, text = first.original, text or first.instruction
    text = text or galleries.CONTEXTS[0]
    contexts = extras.instructions if len(extras.instructions) > 1 else galleries.CONTEXTS
    shown = {"texts": [text, *contexts], "picture": picture_digest(picture)}
    still: list[tuple[str, Callable[[], Gallery]]] = [
        ("contexts", lambda: galleries.contextual_edits(editor, picture, settings, contexts)),
        ("noise", lambda: galleries.latent_noise(editor, picture, text, settings)),
        ("scales", lambda: galleries.scale_grid(editor, picture, text, settings)),
    ]
    made = [
        Gallery.model_validate(
            kept_result(
                folder / "galleries",
                {**origin, "gallery": name, **shown},
                lambda f=make: f().model_dump(),  # type: ignore[misc]
            )
        )
        for name, make in still
    ]
    drift, in_turn = galleries.sequential_edits(
        editor,
        settings,
        folder / "galleries",
        origin,
        scenes=extras.drift_scenes,
        seed=settings.seed,
        split=split,
        world=world,
    )
    return drift, [*made, in_turn]


def _audit(
    editor: Editor,
    clip: Clip | None,
    settings: SamplingSettings,
    extras: Extras,
    folder: Path,
    origin: Mapping[str, Any],
    note: Say,
) -> tuple[BiasAudit, list[Shot]] | None:
    photos = extras.bias_folder
    if photos is not None and clip is None:
        note("The bias audit was left out: on photographs it needs a CLIP (--clip).")
        return None

    def compute() -> dict[str, Any]:
        if photos is not None and clip is not None:
            audit, shots = audit_photos(editor, clip, photos, settings)
        else:
            audit, shots = audit_drawn_people(editor, settings)
        return {"audit": audit.model_dump(), "shots": [shot.model_dump() for shot in shots]}

    try:
        people = {"photographs": photographs_origin(photos), "drawn by": drawn_by()}
        kept = kept_result(folder / "bias", {**origin, **people}, compute)
    except UserError as error:
        note(f"The bias audit was left out: {error}")
        return None
    shots = [Shot.model_validate(shot) for shot in kept["shots"]]
    return BiasAudit.model_validate(kept["audit"]), shots


def first_cases(cases: CaseSet, count: int) -> list[Case]:
    """The first so many cases that can be read."""
    found: list[Case] = []
    for index in range(cases.count):
        if len(found) == count:
            break
        try:
            found.append(cases.read(index))
        except UserError:
            continue
    return found
