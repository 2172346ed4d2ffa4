"""The whole evaluation: models over cases, the extra sections, and the report of all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from overpaint.artifact import Artifact
from overpaint.editing import Editor
from overpaint.engine import Engine, Stage
from overpaint.errors import UserError
from overpaint.evaluation import galleries
from overpaint.evaluation.bias import BiasAudit, audit_drawn_people, audit_photos
from overpaint.evaluation.cases import WITHOUT_KIND, Case, CaseSet
from overpaint.evaluation.curve import trade_off
from overpaint.evaluation.embedding import load_dino
from overpaint.evaluation.galleries import Gallery, Shot
from overpaint.evaluation.kept import folder_of, kept_result
from overpaint.evaluation.origin import (
    Judges,
    basis_of,
    photographs_origin,
    picture_digest,
    sampling_of_editor,
)
from overpaint.evaluation.page import Pictures, ShownCase, shown_words, summary, write_page
from overpaint.evaluation.report import (
    ModelReport,
    Report,
    make_report,
    model_report,
    write_report,
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
from overpaint.evaluation.settings import IMAGE_SCALES
from overpaint.models import find_model
from overpaint.models.clip import Clip, load_clip
from overpaint.models.origin import model_origin
from overpaint.pages.rendering import data_address
from overpaint.recipe import Recipe, lock
from overpaint.scenes.dataset import drawn_by

SHOWN = 6  # cases of each group on the page
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
        """What is asked for, with digests of the pictures (JSON values)."""
        plain = {name: value for name, value in vars(self).items() if name not in _PICTURES}
        picture = None if self.picture is None else picture_digest(self.picture)
        return {**plain, "picture": picture, "photographs": photographs_origin(self.bias_folder)}


_PICTURES = ("picture", "bias_folder")


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
        setting = _Setting(cases, scorer, found, settings, extras, out / "work", basis, engine)
        made = _Made()
        for label, name in zip(labels(models), models, strict=True):
            editor = Editor.from_pretrained(name, device, dtype, note=lambda _: None)
            _evaluate_model(editor, label, name, setting, made, note)
        if not made.models:
            raise UserError(f"no model could be evaluated: {notes[-1]}")
        report = make_report(
            title=cases.title,
            data=dict(cases.settings),
            models=made.models,
            notes=notes,
            command=command,
            versions=lock(Recipe(name="evaluate", seed=settings.seed))["versions"],
            origin=dict(artifact.origin),
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
    origin = {**basis, "models": named, "extras": extras.origin()}
    return Artifact(out, origin, out / "report.json")


@dataclass(frozen=True)
class _Setting:
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
class _Made:
    """What was made of the models so far."""

    models: list[ModelReport] = field(default_factory=list)
    pictures: Pictures = field(default_factory=Pictures)
    sections: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"curves": {}, "drift": {}, "bias": {}}
    )
    complete: bool = True
    """nothing was set aside that a rerun may make"""


def _evaluate_model(
    editor: Editor, label: str, name: str, setting: _Setting, made: _Made, note: Say
) -> None:
    """One model over the cases and through the extra sections, into `made`."""
    cases, settings, found = setting.cases, setting.sampling, setting.judges
    sampling = sampling_of_editor(editor, settings)
    origin = {**setting.basis, "model": model_origin(name), "sampling": sampling}
    folder = setting.folder / label
    place = folder_of(folder / "cases", origin)
    artifact = Artifact(place, origin, place / "data")
    open_stage: Callable[[], Stage] = partial(CaseStage, editor, cases, setting.scorer, settings)
    if setting.engine is not None and setting.engine.kind == "ray":
        at = (str(editor.model.device), str(editor.model.dtype).removeprefix("torch."))
        open_stage = partial(_open_stage, name, found, cases, settings, *at)
    try:
        results = run_cases(open_stage, cases, artifact, setting.engine)
    except ModelGaveNothingError as error:
        note(f"{name} was left out: {error}")
        made.complete = False
        return
    made.complete &= bool((artifact.made() or {}).get("complete"))
    made.models.append(model_report(label, name, origin["model"], sampling, results))
    made.pictures.cases[label] = _shown_cases(cases, results, place)
    _add_sections(editor, label, setting, folder, origin, made, note)


def _open_stage(
    name: str,
    judges: Judges,
    cases: CaseSet,
    settings: SamplingSettings,
    device: str | None,
    dtype: str | None,
) -> CaseStage:
    """The model and the judges of a worker in another process."""
    editor = Editor.from_pretrained(name, device, dtype, note=lambda _: None)
    return CaseStage(editor, cases, _load_judges(judges, device, lambda _: None), settings)


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


def _add_sections(
    editor: Editor,
    label: str,
    setting: _Setting,
    folder: Path,
    origin: Mapping[str, Any],
    made: _Made,
    note: Say,
) -> None:
    """The curve, the galleries and the audit of one model, those that are asked for."""
    extras, scorer, settings = setting.extras, setting.scorer, setting.sampling
    if extras.curve:
        if scorer.clip is None:
            note("The trade-off curve was left out: it needs a CLIP (--clip).")
        else:
            made.sections["curves"][label] = trade_off(
                editor,
                _first_cases(setting.cases, extras.curve_cases),
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
) -> tuple[galleries.Drift, list[Gallery]]:
    picture, text = extras.picture, (extras.instructions or ("",))[0]
    split, world = cases.settings.get("split", "heldout"), cases.settings.get("world", "small")
    if picture is None:
        first = _first_cases(cases, 1)[0]
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


def _first_cases(cases: CaseSet, count: int) -> list[Case]:
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
        instruction=case.instruction,
        kind=case.kind if case.kind != WITHOUT_KIND else "",
        before=data_address(case.original),
        after=data_address(edited),
        target=target,
        words=shown_words(
            result.scores, ("retrieval", "l2", "untouched_psnr", "clip_direction", "clip_image")
        ),
    )
