"""`report.json`: every number of an evaluation, as typed models; their JSON schema goes beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from overpaint.errors import UserError
from overpaint.files import reason, write_atomic
from overpaint.metrics.definitions import METRIC
from overpaint.metrics.intervals import Difference, Estimate
from overpaint.report.sections import BiasAudit, CurvePoint, Drift

FORMAT = "overpaint-report/1"
OVERALL = "overall"
UNEDITED = "return the input"
"""The label of the baseline: the picture as it came, scored as if it were the answer."""


@dataclass(frozen=True)
class CaseResult:
    """What became of one case of an evaluation: its scores by metric, or why it was left out."""

    index: int
    key: str
    kind: str
    instruction: str
    scores: Mapping[str, float | None]
    left_out: str | None = None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class MetricInfo(_Part):
    """What a metric is."""

    name: str
    title: str
    better: Literal["higher", "lower"]
    unit: str
    description: str
    is_of_keeping: bool = Field(
        default=False, description="asks only how much was kept: best where nothing is edited"
    )


class LeftOut(_Part):
    """A case that could not be read or edited."""

    key: str
    reason: str


class Cases(_Part):
    """Every case's scores, column by column; null where a metric does not apply."""

    key: list[str]
    kind: list[str]
    instruction: list[str]
    scores: dict[str, list[float | None]] = Field(description="metric → one number a case")

    @model_validator(mode="after")
    def _columns_are_whole(self) -> Self:
        unknown = self.scores.keys() - METRIC.keys()
        if unknown:
            raise ValueError(f"this version knows no metric {', '.join(sorted(unknown))}")
        lengths = {len(column) for column in self.scores.values()}
        if {len(self.kind), len(self.instruction), *lengths} != {len(self.key)}:
            raise ValueError("the columns are not equally long")
        return self


class ModelReport(_Part):
    """One model's results."""

    label: str = Field(description="its short name, unique in the report")
    name: str = Field(description="what was given on the command line")
    sha256: str | None = Field(description="of its files; of the hub: id and commit")
    settings: dict[str, Any] = Field(description="how it sampled")
    scores: dict[str, dict[str, Estimate]] = Field(
        description="kind of edit, or overall → metric → mean and interval"
    )
    undefined: dict[str, int] = Field(
        default={},
        description="metric → cases without it, such as those of equal captions without a direction",
    )
    trained_on: list[str] | None = Field(
        default=None,
        description="keys of the cases that were among its training pairs; null: not known",
    )
    cases: Cases
    left_out: list[LeftOut]


class Comparison(_Part):
    """Two models on the cases that both have, b minus a."""

    a: str
    b: str
    differences: dict[str, dict[str, Difference]] = Field(
        description="kind of edit, or overall → metric → difference"
    )
    only_a: list[str] = Field(default=[], description="metrics that b has not")
    only_b: list[str] = Field(default=[], description="metrics that a has not")


class Report(_Part):
    """An evaluation."""

    format: Literal["overpaint-report/1"] = "overpaint-report/1"
    title: str
    data: dict[str, Any] = Field(description="the settings that name the cases")
    headline: str = Field(description="the metric that decides, one of `metrics`")
    metrics: list[MetricInfo]
    models: list[ModelReport]
    comparisons: list[Comparison]
    unedited: ModelReport | None = Field(
        default=None, description="the pictures as they came, scored as if they were the answers"
    )
    against_unedited: list[Comparison] = Field(
        default=[], description="each model (b) against the pictures as they came (a)"
    )
    curves: dict[str, list[CurvePoint]] = Field(default={}, description="by model")
    drift: dict[str, Drift] = Field(default={}, description="by model")
    bias: dict[str, BiasAudit] = Field(default={}, description="by model")
    notes: list[str] = Field(description="what was left out of the whole evaluation, and why")
    command: str
    versions: dict[str, str]
    origin: dict[str, Any] = Field(
        default={}, description="all that the figures were made from: digests, format, device"
    )


def write_report(report: Report, folder: Path) -> Path:
    """Write `report.json` and its schema, `report.schema.json`; returns the former's path."""
    schema = json.dumps(Report.model_json_schema(), indent=1)
    write_atomic(folder / "report.schema.json", schema.encode())
    write_atomic(folder / "report.json", report.model_dump_json(indent=1).encode())
    return folder / "report.json"


def read_report(path: str | Path) -> Report:
    """Read a `report.json`, or the one in a folder.

    Raises:
        UserError: there is none, or it is no report of this version.
    """
    path = Path(path)
    path = path / "report.json" if path.is_dir() else path
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read the report {path}: {reason(error)}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no report of `overpaint evaluate`: it is no text.") from error
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(part) for part in first["loc"]) or "its beginning"
        raise UserError(
            f"{path} is no report of `overpaint evaluate` (format {FORMAT}): at {at}, "
            f"{first['msg'].removeprefix('Value error, ').lower()}."
        ) from error
