"""The whole evaluation: models over cases, the extra sections, and the report of all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from overpaint.artifact import Artifact
from overpaint.editing import Editor
from overpaint.engine import Engine, Stage
from overpaint.errors import UserError
from overpaint.evaluation.cases import WITHOUT_KIND, Case, CaseSet
from overpaint.evaluation.extras import Extras, Made, Say, Setting, add_sections
from overpaint.evaluation.kept import folder_of
from overpaint.evaluation.origin import (
    Judges,
    basis_of,
    sampling_of_editor,
)
from overpaint.evaluation.runs import (
    CaseResult,
    CaseStage,
    ModelGaveNothingError,
    SamplingSettings,
    read_edited,
    run_cases,
)
from overpaint.evaluation.scoring import Scorer, nearest_target
from overpaint.evaluation.unedited import score_unedited, seen_in_training, unedited_stage
from overpaint.html.rendering import data_address
from overpaint.metrics.embedding import load_dino
from overpaint.models import find_model
from overpaint.models.clip import load_clip
from overpaint.models.origin import model_origin
from overpaint.recipe import Recipe, lock
from overpaint.report.page import ShownCase, shown_words, summary, write_page
from overpaint.report.schema import (
    Report,
    make_report,
    model_report,
    write_report,
)

SHOWN = 6  # cases of each group on the page


def evaluate(
    models: Sequence[str],
    cases: CaseSet,
    settings: SamplingSettings,
    out: Path,
    *,
    judges: Judges,
    extras: Extras | None = None,
    device: str | None = None,
    dtype: str | None = None,
    command: str = "",
    say: Say = lambda _: None,
    engine: Engine | None = None,
) -> Report:
    """Evaluate models on cases; write `report.json`, its schema and `report.html` to `out`.

    One model is in memory at a time. Killed and started again, it does what is missing. What
    cannot be had (a judge, a broken picture, a model of NaN) is left out, said, and noted in the
    report. The cases go through `engine`; the extra sections are made in this process.

    Raises:
        UserError: there is nothing to evaluate, no model could be, or another process writes to
            `out`.
    """
    if cases.count == 0:
        raise UserError(f"there is nothing to evaluate: {cases.title} holds no cases.")
    notes = list(cases.notes)
    for sentence in notes:
        say(sentence)

    def note(sentence: str) -> None:
        notes.append(sentence)
        say(sentence)

    for name in models:
        find_model(name)  # a misspelt name must not cost an hour first
    scorer = _load_judges(judges, device, note)
    found = Judges(judges.clip if scorer.clip else None, judges.dino if scorer.dino else None)
    extras = extras or Extras()
    basis = basis_of(cases, found, settings, device, dtype)
    artifact = artifact_of(models, out, basis, extras)
    changed = artifact.differences()
    with artifact.being_made(replace=True):
        for words in changed:
            say(f"The report in {out} is made again: {words}.")
        setting = Setting(cases, scorer, found, settings, extras, out / "work", basis, engine)
        made = Made()
        for label, name in zip(labels(models), models, strict=True):
            editor = Editor.from_pretrained(name, device, dtype)
            _evaluate_model(editor, label, name, setting, made, note)
        if not made.models:
            raise UserError(f"no model could be evaluated: {notes[-1]}")
        open_unedited: Callable[[], Stage] = partial(unedited_stage, cases, scorer)
        if engine is not None and engine.kind == "ray":
            open_unedited = partial(_open_unedited, found, cases, device)
        unedited = score_unedited(open_unedited, cases, out / "work" / "cases", basis, engine)
        report = make_report(
            title=cases.title,
            data=dict(cases.settings),
            models=made.models,
            notes=notes,
            command=command,
            versions=lock(Recipe(name="evaluate", seed=settings.seed))["versions"],
            origin=dict(artifact.origin),
            unedited=unedited,
            **made.sections,
        )
        write_report(report, out)
        write_page(report, made.pictures, out / "report.html")
        artifact.finish(complete=made.complete, made=" ".join(summary(report)))
    return report


def artifact_of(
    models: Sequence[str], out: Path, basis: Mapping[str, Any], extras: Extras
) -> Artifact:
    """The report on these models; `basis` is what `origin.basis_of` gives.

    Raises:
        UserError: a model is not there or cannot be read.
    """
    named = {k: model_origin(v) for k, v in zip(labels(models), models, strict=True)}
    origin = {"stage": "report", **basis, "models": named, "extras": extras.origin()}
    return Artifact(out, origin, out / "report.json")


def _evaluate_model(
    editor: Editor, label: str, name: str, setting: Setting, made: Made, note: Say
) -> None:
    """One model over the cases and through the extra sections, into `made`."""
    cases, settings, found = setting.cases, setting.sampling, setting.judges
    sampling = sampling_of_editor(editor, settings)
    origin = {"stage": "cases", **setting.basis, "model": model_origin(name), "sampling": sampling}
    place = folder_of(setting.folder / "cases", origin)
    artifact = Artifact(place, origin, place / "data")
    open_stage: Callable[[], Stage] = partial(CaseStage, editor, cases, setting.scorer, settings)
    if setting.engine is not None and setting.engine.kind == "ray":
        at = (editor.card.device, editor.card.dtype)
        open_stage = partial(_open_stage, name, found, cases, settings, *at)
    try:
        results = run_cases(open_stage, cases, artifact, setting.engine)
    except ModelGaveNothingError as error:
        note(f"{name} was left out: {error}")
        made.complete = False
        return
    made.complete &= bool((artifact.made() or {}).get("complete"))
    seen = seen_in_training(name, cases)
    made.models.append(model_report(label, name, origin["model"], sampling, results, seen))
    made.pictures.cases[label] = _shown_cases(cases, results, place)
    add_sections(editor, label, setting, origin, made, note)


def _open_stage(
    name: str,
    judges: Judges,
    cases: CaseSet,
    settings: SamplingSettings,
    device: str | None,
    dtype: str | None,
) -> CaseStage:
    """The model and the judges of a worker in another process."""
    editor = Editor.from_pretrained(name, device, dtype)
    return CaseStage(editor, cases, _load_judges(judges, device, lambda _: None), settings)


def _open_unedited(judges: Judges, cases: CaseSet, device: str | None) -> CaseStage:
    """The judges of a worker in another process, for the pictures as they came."""
    return unedited_stage(cases, _load_judges(judges, device, lambda _: None))


def labels(models: Sequence[str]) -> list[str]:
    """Short names, all different: the last part of a path or an id."""
    paths = [Path(name).resolve() if Path(name).exists() else Path(name) for name in models]
    short = [path.name.removesuffix(".safetensors") or "model" for path in paths]
    if len(set(short)) == len(short):
        return short
    return [f"{name}-{number}" for number, name in enumerate(short, start=1)]


def _load_judges(judges: Judges, device: str | None, note: Say) -> Scorer:
    """CLIP and DINO, or a sentence for each that cannot be had."""
    from overpaint.models import pick_device

    scorer, at = Scorer(), pick_device(device)
    if judges.clip is None:
        note("CLIP similarities were left out: no CLIP was given (--clip).")
    else:
        try:
            scorer.clip = load_clip(judges.clip, at)
        except UserError as error:
            note(f"CLIP similarities were left out: {error}")
    if judges.dino is None:
        note("DINO similarity was left out: no DINO was given (--dino facebook/dino-vits16).")
    else:
        try:
            scorer.dino = load_dino(judges.dino, at)
        except UserError as error:
            note(f"DINO similarity was left out: {error}")
    return scorer


def _shown_cases(
    cases: CaseSet, results: Sequence[CaseResult], folder: Path
) -> dict[str, list[ShownCase]]:
    """The best, the middle and the worst cases, as pictures."""
    ranked = sorted((r for r in results if r.left_out is None), key=_rank)
    groups = {"The best": ranked[:SHOWN]}
    if len(ranked) >= 3 * SHOWN:
        middle = (len(ranked) - SHOWN) // 2
        groups["The middle"] = ranked[middle : middle + SHOWN]
    if len(ranked) >= 2 * SHOWN:
        groups["The worst"] = ranked[-SHOWN:]
    chosen = [result.index for group in groups.values() for result in group]
    edited = read_edited(folder, cases.count, chosen)
    return {
        name: [_shown(cases.read(r.index), r, edited[r.index]) for r in group]
        for name, group in groups.items()
    }


def _rank(result: CaseResult) -> tuple[float, float]:
    """Best first: right before wrong, then nearest to the target, or most in its direction."""
    scores = result.scores
    distance = scores.get("l2")
    if distance is None:
        distance = -(scores.get("clip_direction") or scores.get("clip_text") or 0.0)
    return -(scores.get("retrieval") or 0.0), distance


def _shown(case: Case, result: CaseResult, edited: Image.Image) -> ShownCase:
    target = None
    if case.targets:
        target = data_address(Image.fromarray(nearest_target(case, np.asarray(edited))))
    return ShownCase(
        instruction=case.asked,
        kind=case.kind if case.kind != WITHOUT_KIND else "",
        before=data_address(case.original),
        after=data_address(edited),
        target=target,
        words=shown_words(
            result.scores, ("retrieval", "l2", "untouched_psnr", "clip_direction", "clip_image")
        ),
    )
