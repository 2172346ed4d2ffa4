"""An evaluation as its settings describe it, on a command line or in a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from overpaint.artifact import Artifact
from overpaint.audits.bias import photos_in
from overpaint.engine import Engine
from overpaint.evaluation.cases import CaseSet, read_cases, scene_cases
from overpaint.evaluation.evaluate import artifact_of as report_artifact
from overpaint.evaluation.evaluate import evaluate
from overpaint.evaluation.extras import Extras, Say
from overpaint.evaluation.origin import Judges, basis_of
from overpaint.evaluation.presets import PRESETS
from overpaint.evaluation.runs import SamplingSettings
from overpaint.evaluation.settings import (
    NONE,
    PUBLIC_CLIP,
    PUBLIC_DINO,
    SCENES,
    EvaluateSettings,
)
from overpaint.images import load_image
from overpaint.models import fetch_model, pick_device, pick_dtype
from overpaint.report.schema import Report


def evaluate_as_set(
    models: Sequence[str],
    settings: EvaluateSettings,
    out: Path,
    *,
    command: str,
    say: Say,
    engine: Engine | None = None,
) -> Report:
    """`evaluate` with the cases, judges, sampling and sections that `settings` ask for.

    Models to compare with come first: a difference is what the others gained over them.

    Raises:
        UserError: as `evaluate`, and where the cases or a picture cannot be read.
    """
    return evaluate(
        list(dict.fromkeys([*settings.against, *models])),
        find_cases(settings),
        sampling_of(settings),
        out,
        judges=judges_of(settings),
        extras=extras_of(settings),
        device=settings.device,
        dtype=settings.dtype,
        command=command,
        say=say,
        engine=engine,
    )


def artifact_of(models: Sequence[str], settings: EvaluateSettings, out: Path) -> Artifact:
    """The report that `evaluate_as_set` makes, of the judges that can be had.

    Raises:
        UserError: a model, the cases or a picture cannot be read.
    """
    judges, device, dtype = judges_of(settings).available(), settings.device, settings.dtype
    basis = basis_of(find_cases(settings), judges, sampling_of(settings), device, dtype)
    named = list(dict.fromkeys([*settings.against, *models]))
    return report_artifact(named, out, basis, extras_of(settings))


def check(settings: EvaluateSettings) -> None:
    """Make sure that this stage can start; models of the hub are brought into its cache.

    A judge that cannot be had is no hindrance: `evaluate` leaves its metrics out.

    Raises:
        UserError: there is no such device, model to compare with, folder of pairs or picture.
    """
    device = pick_device(settings.device)
    pick_dtype(settings.dtype, device)
    for name in settings.against:
        fetch_model(name)
    find_cases(settings)
    extras_of(settings)


def find_cases(settings: EvaluateSettings) -> CaseSet:
    """The pairs, or the scenes.

    Raises:
        UserError: the pairs cannot be read.
    """
    if settings.pairs is not None:
        cases = read_cases(settings.pairs, settings.limit, settings.preset)
        return replace(cases, notes=(*cases.notes, *_other_judges(settings)))
    count = settings.scenes or SCENES
    return scene_cases(count, settings.seed, settings.split, settings.world, settings.size)


def _other_judges(settings: EvaluateSettings) -> list[str]:
    """A sentence for each judge that is not the preset's."""
    if settings.preset is None:
        return []
    preset, judges = PRESETS[settings.preset], judges_of(settings)
    pairs = (("CLIP", judges.clip, preset.clip), ("DINO", judges.dino, preset.dino))
    return [
        f"{kind} {given} judges in the place of the preset's {wanted}: published figures of it "
        "cannot be compared."
        for kind, given, wanted in pairs
        if given not in (None, wanted)
    ]


def judges_of(settings: EvaluateSettings) -> Judges:
    """The judges that are asked for, the preset's, or those that suit the data."""
    if settings.preset is not None:
        preset = PRESETS[settings.preset]
        clip, dino = settings.clip or preset.clip, settings.dino or preset.dino
        return Judges(None if clip == NONE else clip, None if dino == NONE else dino)
    on_scenes = settings.pairs is None
    clip = settings.clip or ("nano" if on_scenes else PUBLIC_CLIP)
    dino = settings.dino or (NONE if on_scenes else PUBLIC_DINO)
    return Judges(None if clip == NONE else clip, None if dino == NONE else dino)


def sampling_of(settings: EvaluateSettings) -> SamplingSettings:
    """How the models edit."""
    return SamplingSettings(
        **{name: getattr(settings, name) for name in SamplingSettings.model_fields}
    )


def extras_of(settings: EvaluateSettings) -> Extras:
    """The further sections.

    Raises:
        UserError: the picture of the galleries cannot be read, or the audit has no photographs.
    """
    photos = None if settings.bias_folder is None else Path(settings.bias_folder)
    if photos is not None:
        photos_in(photos)
    return Extras(
        curve=settings.curve,
        curve_cases=settings.curve_cases,
        image_scales=settings.curve_image_scales,
        text_scales=settings.curve_text_scales,
        galleries=settings.galleries,
        drift_scenes=settings.drift_scenes,
        picture=None if settings.picture is None else load_image(settings.picture),
        instructions=settings.instructions,
        bias=settings.bias or photos is not None,
        bias_folder=photos,
    )
