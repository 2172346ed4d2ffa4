"""An evaluation as its settings describe it, on a command line or in a recipe.

This module alone asks for the audits (`overpaint.audits`), which stand on this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from overpaint.artifact import Artifact
from overpaint.audits.registry import audits_of
from overpaint.engine import Engine
from overpaint.evaluation.cases import CaseSet
from overpaint.evaluation.evaluate import basis_of, evaluate, report_artifact
from overpaint.evaluation.judges import Judges, Note
from overpaint.evaluation.published import presets
from overpaint.evaluation.settings import (
    NONE,
    PUBLIC_CLIP,
    PUBLIC_DINO,
    SCENES,
    EvaluateSettings,
)
from overpaint.evaluation.sources import read_cases, scene_cases
from overpaint.models import fetch_model, pick_device, pick_dtype
from overpaint.report.schema import Report


def evaluate_with_settings(
    models: Sequence[str],
    settings: EvaluateSettings,
    out: Path,
    *,
    command: str,
    say: Note,
    engine: Engine | None = None,
) -> Report:
    """`evaluate` with the cases, judges, sampling and audits that `settings` ask for.

    Models to compare with come first: a difference is what the others gained over them.

    Raises:
        UserError: as `evaluate`, and where the cases or a picture cannot be read.
    """
    return evaluate(
        _all_models(models, settings),
        find_cases(settings),
        settings,
        out,
        judges=judges_of(settings),
        audits=audits_of(settings),
        device=settings.device,
        dtype=settings.dtype,
        command=command,
        say=say,
        engine=engine,
    )


def artifact_of(models: Sequence[str], settings: EvaluateSettings, out: Path) -> Artifact:
    """The report that `evaluate_with_settings` makes, of the judges that can be had.

    Raises:
        UserError: a model, the cases or a picture cannot be read.
    """
    judges, device, dtype = judges_of(settings).available(), settings.device, settings.dtype
    basis = basis_of(find_cases(settings), judges, settings, device, dtype)
    return report_artifact(_all_models(models, settings), out, basis, audits_of(settings))


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
    audits_of(settings)


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


def judges_of(settings: EvaluateSettings) -> Judges:
    """The judges that are asked for, the preset's, or those that suit the data."""
    if settings.preset is not None:
        preset = presets()[settings.preset]
        clip, dino = preset.clip, preset.dino
    elif settings.pairs is not None:
        clip, dino = PUBLIC_CLIP, PUBLIC_DINO
    else:
        clip, dino = "nano", NONE
    clip, dino = settings.clip or clip, settings.dino or dino
    return Judges(None if clip == NONE else clip, None if dino == NONE else dino)


def _all_models(models: Sequence[str], settings: EvaluateSettings) -> list[str]:
    return list(dict.fromkeys([*settings.against, *models]))


def _other_judges(settings: EvaluateSettings) -> list[str]:
    """A sentence for each judge that is not the preset's."""
    if settings.preset is None:
        return []
    preset, judges = presets()[settings.preset], judges_of(settings)
    pairs = (("CLIP", judges.clip, preset.clip), ("DINO", judges.dino, preset.dino))
    return [
        f"{kind} {given} judges in the place of the preset's {wanted}: published figures of it "
        "cannot be compared."
        for kind, given, wanted in pairs
        if given not in (None, wanted)
    ]
