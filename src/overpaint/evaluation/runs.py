"""One model over all cases: edited and scored once, in shards that survive a kill.

    FOLDER/record.json          what was run: data, settings, the model's hash
    FOLDER/data/train-*.parquet one row a case: its scores and the edited picture

The same command goes on where it stopped; another model or other settings are refused.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel, ConfigDict

from overpaint.editing import Editor
from overpaint.errors import UserError
from overpaint.evaluation.cases import Case, CaseSet
from overpaint.evaluation.scoring import METRICS, Scorer, Scores
from overpaint.files import reason, write_atomic
from overpaint.progress import Progress
from overpaint.records import changes
from overpaint.rows import png_bytes
from overpaint.seeds import derive_seed
from overpaint.shards import missing_shards, shard_path, write_shard

CASES_PER_SHARD = 64  # the unit of work that a kill may cost
_HOPELESS = 16  # cases that fail from the first on, after which a model is given up


class SamplingSettings(BaseModel):
    """How the editor edits; None takes the model's own default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    image_guidance_scale: float | None = None
    resolution: int | None = None
    seed: int = 0
    batch_size: int | None = None

    def for_editor(self) -> dict[str, Any]:
        """The keyword arguments of `Editor.edit_pairs` but the seed, which each case has."""
        return self.model_dump(exclude={"seed"})


@dataclass(frozen=True)
class CaseResult:
    """What became of one case: its scores, or why it was left out."""

    index: int
    key: str
    kind: str
    instruction: str
    scores: Scores
    left_out: str | None = None


class ModelGaveNothingError(UserError):
    """No case of a whole beginning could be edited: the model is at fault, not the cases."""


def run_cases(
    editor: Editor,
    cases: CaseSet,
    scorer: Scorer,
    settings: SamplingSettings,
    folder: Path,
    record: Mapping[str, Any],
) -> list[CaseResult]:
    """Edit and score what is missing; returns all results, in the order of the cases.

    A case that cannot be read or edited is left out, with its sentence.

    Raises:
        UserError: the folder holds the results of something else, or cannot be written.
        ModelGaveNothingError: the model fails from the first case on.
    """
    check_record(folder, {**record, "data": dict(cases.settings), "sampling": settings})
    shards = -(-cases.count // CASES_PER_SHARD)
    missing = missing_shards(folder, shards)
    done = cases.count - sum(len(_indices(shard, shards, cases.count)) for shard in missing)
    if missing:
        with Progress("evaluate", total=cases.count, done=done) as progress:
            for shard in missing:
                indices = _indices(shard, shards, cases.count)
                rows = _edit_shard(editor, cases, indices, scorer, settings)
                if shard == 0:
                    _check_hope(rows)
                write_shard(folder, shard, shards, rows, _features())
                progress.advance(len(indices))
    return read_results(folder, shards)


def edit_cases(
    editor: Editor, cases: Sequence[Case], settings: SamplingSettings
) -> list[Image.Image | UserError]:
    """The edited picture of each case, or why there is none.

    Every case has a noise of its own, derived from the seed and its key. A batch in which one
    picture fails is done again one by one.
    """
    seeds = [derive_seed(settings.seed, "case", case.key) >> 1 for case in cases]

    def edit(which: Sequence[int]) -> list[Image.Image]:
        edits = editor.edit_pairs(
            [cases[i].original for i in which],
            [cases[i].instruction for i in which],
            seed=[seeds[i] for i in which],
            **settings.for_editor(),
        )
        return [edit.image for edit in edits]

    try:
        return list(edit(range(len(cases)))) if cases else []
    except UserError as error:
        if len(cases) == 1:
            return [error]
    edited: list[Image.Image | UserError] = []
    for index in range(len(cases)):
        try:
            edited += edit([index])
        except UserError as error:
            edited.append(error)
            if len(edited) == _HOPELESS and all(isinstance(e, UserError) for e in edited):
                return [*edited, *[error] * (len(cases) - _HOPELESS)]
    return edited


def read_edited(folder: Path, count: int, indices: Sequence[int]) -> dict[int, Image.Image]:
    """The edited pictures of some cases, by their index; `count` is the number of all cases."""
    import pyarrow.parquet as pq

    shards = -(-count // CASES_PER_SHARD)
    wanted: dict[int, Image.Image] = {}
    for shard in sorted({index % shards for index in indices}):
        table = pq.read_table(shard_path(folder, shard, shards), columns=["index", "edited"])
        for row in table.to_pylist():
            if row["index"] in indices and row["edited"]["bytes"]:
                with Image.open(io.BytesIO(row["edited"]["bytes"]), formats=["PNG"]) as image:
                    wanted[row["index"]] = image.convert("RGB")
    return wanted


def read_results(folder: Path, shards: int) -> list[CaseResult]:
    """The results in a folder, in the order of the cases."""
    import pyarrow.parquet as pq

    names = [metric.name for metric in METRICS]
    columns = ["index", "key", "kind", "instruction", "left_out", *names]
    results = []
    for shard in range(shards):
        for row in pq.read_table(shard_path(folder, shard, shards), columns=columns).to_pylist():
            scores = {name: row.pop(name) for name in names}
            results.append(CaseResult(scores=scores, **row))
    return sorted(results, key=lambda result: result.index)


def check_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `record.json`, or compare with the one that is there.

    Raises:
        UserError: naming what differs.
    """
    path = folder / "record.json"
    now = json.loads(json.dumps(record, default=lambda model: model.model_dump()))
    if not path.exists():
        write_atomic(path, json.dumps(now, indent=1).encode())
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}.") from error
    except ValueError as error:
        raise UserError(f"{path} is broken: delete {folder} to evaluate afresh.") from error
    changed = changes(before, now)
    if changed:
        raise UserError(
            f"{folder} holds other results ({'; '.join(changed)}): choose another output folder, "
            "or delete this one."
        )


def _edit_shard(
    editor: Editor,
    cases: CaseSet,
    indices: Sequence[int],
    scorer: Scorer,
    settings: SamplingSettings,
) -> list[dict[str, Any]]:
    """The rows of one shard."""
    rows: dict[int, dict[str, Any]] = {}
    read: dict[int, Case] = {}
    for index in indices:
        try:
            read[index] = cases.read(index)
        except UserError as error:
            rows[index] = _row(index, None, left_out=str(error))
    edited = dict(zip(read, edit_cases(editor, list(read.values()), settings), strict=True))
    good = {i: picture for i, picture in edited.items() if isinstance(picture, Image.Image)}
    scores = scorer.score([read[i] for i in good], list(good.values()))
    for (index, picture), score in zip(good.items(), scores, strict=True):
        rows[index] = _row(index, read[index], picture, score)
    for index, failed in edited.items():
        if isinstance(failed, UserError):
            rows[index] = _row(index, read[index], left_out=str(failed))
    return [rows[index] for index in indices]


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
        "instruction": case.instruction if case else "",
        "left_out": left_out,
        "edited": {"bytes": png_bytes(edited) if edited else None, "path": None},
        **(scores or {metric.name: None for metric in METRICS}),
    }


def _check_hope(rows: Sequence[Mapping[str, Any]]) -> None:
    """A model that fails on all of its first cases will fail on the rest."""
    edited = [row for row in rows if row["key"] and row["kind"]]
    if edited and all(row["left_out"] for row in edited):
        raise ModelGaveNothingError(str(edited[0]["left_out"]))


def _indices(shard: int, shards: int, count: int) -> range:
    return range(shard, count, shards)


def _features() -> Any:
    from datasets import Features, Value
    from datasets import Image as ImageFeature

    texts = {name: Value("string") for name in ("key", "kind", "instruction", "left_out")}
    numbers = {metric.name: Value("float64") for metric in METRICS}
    return Features({"index": Value("int64"), **texts, "edited": ImageFeature(), **numbers})
