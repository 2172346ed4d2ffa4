"""All cases of one model, edited and scored once, in shards that survive a kill.

    FOLDER/origin.json          what was run: data, settings, digests of model and judges
    FOLDER/data/train-*.parquet one row a case: its scores and the edited picture

The same command goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from PIL import Image

from overpaint.artifact import Artifact
from overpaint.data.cells import picture_of
from overpaint.engine import Done, Engine, Job, Made, Row, Stage, quarantined, run
from overpaint.errors import UserError
from overpaint.evaluation.cases import Case, CaseSet
from overpaint.evaluation.scoring import Scorer, Scores
from overpaint.metrics.definitions import METRIC, METRICS
from overpaint.report.schema import CaseResult
from overpaint.rows import png_bytes
from overpaint.shards import shard_path

CASES_PER_SHARD = 64  # the unit of work that a kill may cost

EditCases = Callable[[Sequence[Case]], list[Image.Image | UserError]]
"""The edited picture of each case, or why there is none."""


class ModelGaveNothingError(UserError):
    """No case of a whole beginning could be edited: the model is at fault, not the cases."""


@dataclass(frozen=True)
class CaseStage:
    """Editing and scoring of cases, as a stage of the engine."""

    edit: EditCases
    cases: CaseSet
    scorer: Scorer

    def __call__(self, rows: Sequence[Row], done: Done) -> Made:
        """One row a case, left out or scored.

        Raises:
            ModelGaveNothingError: none of the first cases could be edited.
        """
        indices = [int(row["index"]) for row in rows]
        made = self._rows(indices)
        if indices == list(_indices(0, _shards(self.cases.count), self.cases.count)):
            _check_that_some_worked(made)
        done(len(rows))
        aside = {i: str(row["left_out"]) for i, row in enumerate(made) if row["left_out"]}
        return Made(made, aside=aside)

    def _rows(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of one shard."""
        rows: dict[int, dict[str, Any]] = {}
        read: dict[int, Case] = {}
        for index in indices:
            try:
                read[index] = self.cases.read(index)
            except UserError as error:
                rows[index] = _row(index, None, left_out=str(error))
        edited = dict(zip(read, self.edit(list(read.values())), strict=True))
        good = {i: picture for i, picture in edited.items() if isinstance(picture, Image.Image)}
        scores = self.scorer.score([read[i] for i in good], list(good.values()))
        for (index, picture), score in zip(good.items(), scores, strict=True):
            rows[index] = _scored(index, read[index], picture, score)
        for index, failed in edited.items():
            if isinstance(failed, UserError):
                rows[index] = _row(index, read[index], left_out=str(failed))
        return [rows[index] for index in indices]


def run_cases(
    open_stage: Callable[[], Stage],
    cases: CaseSet,
    artifact: Artifact,
    engine: Engine | None = None,
) -> list[CaseResult]:
    """Edit and score what is missing; returns all results, in the order of the cases.

    `open_stage` gives a `CaseStage` of these cases, `artifact` says what their results are made from
    and where they lie. A case that cannot be read or edited is left out, with its sentence, and
    tried again by the next call.

    Raises:
        UserError: the folder holds the results of something else, or cannot be written.
        ModelGaveNothingError: the model fails from the first case on.
    """
    shards = _shards(cases.count)
    job = Job(
        out=artifact.folder,
        title="evaluate",
        shards=[
            [{"index": index} for index in _indices(shard, shards, cases.count)]
            for shard in range(shards)
        ],
        open_stage=open_stage,
        features=_features(),
    )
    with artifact.being_made():
        aside = {bad["row"]["index"]: bad["reason"] for bad in quarantined(run(job, engine))}
        artifact.finish(complete=not aside)
    results = _read_results(artifact.folder, shards)
    for index in sorted({*aside} - {result.index for result in results}):
        results.append(_result(_row(index, None, left_out=aside[index])))
    return sorted(results, key=lambda result: result.index)


def read_edited(folder: Path, count: int, indices: Sequence[int]) -> dict[int, Image.Image]:
    """The edited pictures of some cases, by their index; `count` is the number of all cases."""
    import pyarrow.parquet as pq

    shards = _shards(count)
    wanted: dict[int, Image.Image] = {}
    for shard in sorted({index % shards for index in indices}):
        table = pq.read_table(shard_path(folder, shard, shards), columns=["index", "edited"])
        for row in table.to_pylist():
            if row["index"] in indices and row["edited"]["bytes"]:
                where = f"case {row['index']} of {folder}"
                wanted[row["index"]] = picture_of(row["edited"], folder, where)
    return wanted


def _read_results(folder: Path, shards: int) -> list[CaseResult]:
    import pyarrow.parquet as pq

    names = [metric.name for metric in METRICS]
    columns = ["index", "key", "kind", "instruction", "left_out", *names]
    return [
        _result(row)
        for shard in range(shards)
        for row in pq.read_table(shard_path(folder, shard, shards), columns=columns).to_pylist()
    ]


def _result(row: Mapping[str, Any]) -> CaseResult:
    return CaseResult(
        index=row["index"],
        key=row["key"],
        kind=row["kind"],
        instruction=row["instruction"],
        scores={metric.name: row[metric.name] for metric in METRICS},
        left_out=row["left_out"],
    )


def _scored(index: int, case: Case, edited: Image.Image, scores: Scores) -> dict[str, Any]:
    """The row of an edited case; left out where a score is no finite number."""
    strange = [name for name, value in scores.items() if not isfinite(value or 0.0)]
    if not strange:
        return _row(index, case, edited, scores)
    title = METRIC[strange[0]].title
    why = f"its {title} is not a number: the weights of what judges are broken"
    return _row(index, case, left_out=why)


def _row(
    index: int,
    case: Case | None,
    edited: Image.Image | None = None,
    scores: Scores | None = None,
    left_out: str | None = None,
) -> dict[str, Any]:
    return {
        "index": index,
        "key": case.key if case else f"row {index}",
        "kind": case.kind if case else "",
        "instruction": case.asked if case else "",
        "left_out": left_out,
        "edited": {"bytes": png_bytes(edited) if edited else None, "path": None},
        **(scores or {metric.name: None for metric in METRICS}),
    }


def _check_that_some_worked(rows: Sequence[Mapping[str, Any]]) -> None:
    """A model that fails on all of its first cases will fail on the rest."""
    edited = [row for row in rows if row["key"] and row["kind"]]
    if edited and all(row["left_out"] for row in edited):
        raise ModelGaveNothingError(str(edited[0]["left_out"]))


def _shards(count: int) -> int:
    return -(-count // CASES_PER_SHARD)


def _indices(shard: int, shards: int, count: int) -> range:
    return range(shard, count, shards)


def _features() -> Any:
    from datasets import Features, Value
    from datasets import Image as ImageFeature

    texts = {name: Value("string") for name in ("key", "kind", "instruction", "left_out")}
    numbers = {metric.name: Value("float64") for metric in METRICS}
    return Features({"index": Value("int64"), **texts, "edited": ImageFeature(), **numbers})
