"""The whole evaluation: models over cases, the audits, and the report of all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from overpaint.artifact import Artifact
from overpaint.editing import Editor
from overpaint.engine import Engine, Stage
from overpaint.errors import UserError
from overpaint.evaluation.audit import Audit, AuditContext
from overpaint.evaluation.baseline import baseline_stage, score_baseline
from overpaint.evaluation.cache import folder_of
from overpaint.evaluation.case_stage import CaseStage, ModelGaveNothingError, run_cases
from overpaint.evaluation.cases import CaseSet
from overpaint.evaluation.edits import edit_cases
from overpaint.evaluation.judges import Judges, Note, load_judges
from overpaint.evaluation.scoring import Scorer
from overpaint.evaluation.settings import SamplingSettings
from overpaint.evaluation.shown_cases import shown_cases
from overpaint.models import find_model, pick_device, pick_dtype
from overpaint.models.origin import model_origin
from overpaint.models.train_rows import read_train_rows, row_digest
from overpaint.recipe import Recipe, lock
from overpaint.report.build import make_report, model_report
from overpaint.report.page import Pictures, summary, write_page
from overpaint.report.schema import CaseResult, ModelReport, Report, write_report
from overpaint.report.sections import Findings


def evaluate(
    models: Sequence[str],
    cases: CaseSet,
    settings: SamplingSettings,
    out: Path,
    *,
    judges: Judges,
    audits: Sequence[Audit] = (),
    device: str | None = None,
    dtype: str | None = None,
    command: str = "",
    say: Note = lambda _: None,
    engine: Engine | None = None,
) -> Report:
    """Evaluate models on cases; write `report.json`, its schema and `report.html` to `out`.

    One model is in memory at a time. Killed and started again, it does what is missing. What cannot
    be had (a judge, a picture, a model) is left out, said, and noted in the report. The cases go
    through `engine`; the audits are made in this process.

    Raises:
        UserError: there is nothing to evaluate, no model could be, or another process writes to
            `out`.
    """
    if cases.count == 0:
        raise UserError(f"there is nothing to evaluate: {cases.title} holds no cases.")
    notes = _Notes(say)
    for sentence in cases.notes:
        notes.add(sentence)
    for name in models:
        find_model(name)  # a misspelt name must not cost an hour first
    scorer = load_judges(judges, device, notes.add)
    judges = Judges(judges.clip if scorer.clip else None, judges.dino if scorer.dino else None)
    basis = basis_of(cases, judges, settings, device, dtype)
    artifact = report_artifact(models, out, basis, audits)
    changed = artifact.differences()
    with artifact.being_made(replace=True):
        for words in changed:
            say(f"The report in {out} is made again: {words}.")
        shared = _Evaluation(cases, scorer, judges, settings, basis, out / "work", engine, notes)
        found = shared.of_models(models, audits, device, dtype)
        report = make_report(
            title=cases.title,
            data=dict(cases.settings),
            models=[one.report for one in found],
            notes=notes.sentences,
            command=command,
            versions=lock(Recipe(name="evaluate", seed=settings.seed))["versions"],
            unedited=shared.of_the_input(device),
            findings={one.report.label: one.findings for one in found},
            origin=artifact.origin,
        )
        write_report(report, out)
        write_page(report, _pictures(cases, found), out / "report.html")
        artifact.finish(complete=shared.complete, made=" ".join(summary(report)))
    return report


def report_artifact(
    models: Sequence[str], out: Path, basis: Mapping[str, Any], audits: Sequence[Audit]
) -> Artifact:
    """The report on these models; `basis` is what `basis_of` gives.

    Raises:
        UserError: a model is not there or cannot be read.
    """
    named = {k: model_origin(v) for k, v in zip(labels(models), models, strict=True)}
    extras = {audit.name: audit.origin() for audit in audits}
    origin = {"stage": "report", **basis, "models": named, "extras": extras}
    return Artifact(out, origin, out / "report.json")


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
        "settings": settings.sampling(),
        "device": place.type,
        "dtype": str(pick_dtype(dtype, place)).removeprefix("torch."),
    }


@dataclass
class _Notes:
    """What was left out, and why: said at once, and noted in the report."""

    say: Note
    sentences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        self.sentences.append(sentence)
        self.say(sentence)


@dataclass(frozen=True)
class _EvaluatedModel:
    """One model's figures and pictures."""

    report: ModelReport
    results: Sequence[CaseResult]
    folder: Path
    """of the edited pictures"""
    findings: Findings


@dataclass
class _Evaluation:
    """What all models of a report share, and how each of them is evaluated."""

    cases: CaseSet
    scorer: Scorer
    judges: Judges
    settings: SamplingSettings
    basis: Mapping[str, Any]
    folder: Path
    """of what a rerun can take"""
    engine: Engine | None
    notes: _Notes
    complete: bool = field(default=True, init=False)
    """no model and no case was left out that a rerun may make"""

    def of_models(
        self, models: Sequence[str], audits: Sequence[Audit], device: str | None, dtype: str | None
    ) -> list[_EvaluatedModel]:
        """All of them but those that are left out, one after the other.

        Raises:
            UserError: not one could be evaluated.
        """
        found = []
        for label, name in zip(labels(models), models, strict=True):
            try:
                editor = _editor(name, device, dtype)
            except UserError as error:
                self._leave_out(name, error)
                continue
            try:
                found.append(self._of_model(editor, label, name, audits))
            except ModelGaveNothingError as error:
                self._leave_out(name, error)
        if not found:
            raise UserError(f"no model could be evaluated: {self.notes.sentences[-1]}")
        return found

    def _of_model(
        self, editor: Editor, label: str, name: str, audits: Sequence[Audit]
    ) -> _EvaluatedModel:
        """One model over the cases and through the audits."""
        sampling = sampling_of(editor, self.settings)
        origin = {"stage": "cases", **self.basis, "model": model_origin(name), "sampling": sampling}
        place = folder_of(self.folder / "cases", origin)
        artifact = Artifact(place, origin, place / "data")
        results = run_cases(self._opener(editor, name), self.cases, artifact, self.engine)
        self.complete &= bool((artifact.made() or {}).get("complete"))
        seen = seen_in_training(name, self.cases)
        report = model_report(label, name, origin["model"], sampling, results, seen)
        context = AuditContext(
            editor, self.cases, self.scorer, self.settings, self.folder, origin, self.notes.add
        )
        findings = Findings()
        for audit in audits:
            findings = findings.with_those_of(audit.examine(context))
        return _EvaluatedModel(report, results, place, findings)

    def _leave_out(self, name: str, error: UserError) -> None:
        self.notes.add(f"{name} was left out: {error}")
        self.complete = False

    def of_the_input(self, device: str | None) -> ModelReport:
        """The pictures as they came, scored as if they were the answers."""
        opener: Callable[[], Stage] = partial(baseline_stage, self.cases, self.scorer)
        if self._on_ray:
            opener = partial(_open_baseline, self.judges, self.cases, device)
        return score_baseline(opener, self.cases, self.folder / "cases", self.basis, self.engine)

    def _opener(self, editor: Editor, name: str) -> Callable[[], Stage]:
        """What opens the stage: with the model at hand, on Ray with one that each worker loads."""
        if self._on_ray:
            device = editor.card.device
            dtype = editor.card.dtype
            return partial(_open_stage, name, self.judges, self.cases, self.settings, device, dtype)
        edit = partial(edit_cases, editor, settings=self.settings)
        return partial(CaseStage, edit, self.cases, self.scorer)

    @property
    def _on_ray(self) -> bool:
        return self.engine is not None and self.engine.kind == "ray"


def _open_stage(
    name: str,
    judges: Judges,
    cases: CaseSet,
    settings: SamplingSettings,
    device: str | None,
    dtype: str | None,
) -> CaseStage:
    """The model and the judges of a worker in another process."""
    edit = partial(edit_cases, _editor(name, device, dtype), settings=settings)
    return CaseStage(edit, cases, load_judges(judges, device))


def _open_baseline(judges: Judges, cases: CaseSet, device: str | None) -> CaseStage:
    """The judges of a worker in another process, for the pictures as they came."""
    return baseline_stage(cases, load_judges(judges, device))


def labels(models: Sequence[str]) -> list[str]:
    """Short names, all different: the last part of a path or an id."""
    paths = [Path(name).resolve() if Path(name).exists() else Path(name) for name in models]
    short = [path.name.removesuffix(".safetensors") or "model" for path in paths]
    if len(set(short)) == len(short):
        return short
    return [f"{name}-{number}" for number, name in enumerate(short, start=1)]


def sampling_of(editor: Editor, settings: SamplingSettings) -> dict[str, Any]:
    """How the model samples, its own defaults filled in, and on what kind of device."""
    own = editor.card.defaults.model_dump()
    given = settings.sampling()
    filled = {key: own.get(key) if value is None else value for key, value in given.items()}
    return {
        **filled,
        "resolution": settings.resolution or editor.card.native_size,
        "device": editor.card.device.partition(":")[0],
        "dtype": editor.card.dtype,
    }


def seen_in_training(model: str, cases: CaseSet) -> list[str] | None:
    """Keys of the cases whose picture and instruction the model was trained on; None: not known.

    Raises:
        UserError: the model's list of training pairs is broken.
    """
    rows = read_train_rows(model)
    if rows is None:
        return None
    seen = []
    for index in range(cases.count):
        try:
            case = cases.read(index)
        except UserError:
            continue  # it is left out of the evaluation
        if row_digest(case.original, (*case.earlier, case.instruction)[0]) in rows:
            seen.append(case.key)
    return seen


def _pictures(cases: CaseSet, found: Sequence[_EvaluatedModel]) -> Pictures:
    """What the page shows beside the numbers."""
    return Pictures(
        cases=shown_cases(cases, {one.report.label: (one.results, one.folder) for one in found}),
        galleries={
            one.report.label: one.findings.galleries for one in found if one.findings.galleries
        },
        bias={one.report.label: one.findings.changed_people for one in found if one.findings.bias},
    )


def _editor(name: str, device: str | None, dtype: str | None) -> Editor:
    """A model to measure, in float32 on any processor unless another format is asked for."""
    place = pick_device(device)
    return Editor.from_pretrained(name, place, pick_dtype(dtype, place))
