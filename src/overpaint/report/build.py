"""From the results of cases to a report: means with intervals by kind, models compared case by case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from overpaint.errors import UserError
from overpaint.metrics.definitions import HEADLINES, METRIC, METRICS
from overpaint.metrics.intervals import Difference, Estimate, estimate, holm, paired_difference
from overpaint.report.schema import (
    OVERALL,
    CaseResult,
    Cases,
    Comparison,
    LeftOut,
    MetricInfo,
    ModelReport,
    Report,
)
from overpaint.report.sections import Findings


def model_report(
    label: str,
    name: str,
    sha256: str | None,
    settings: dict[str, Any],
    results: Sequence[CaseResult],
    trained_on: Sequence[str] | None = None,
) -> ModelReport:
    """Means with intervals by kind and overall, of one model's results.

    `trained_on` are the keys of cases that were among the model's training pairs.

    Raises:
        UserError: not one case could be evaluated.
    """
    good = [result for result in results if result.left_out is None]
    if not good:
        why = f"; the first: {results[0].left_out}" if results else ""
        raise UserError(f"not one of {len(results)} cases could be evaluated with {name}{why}")
    columns = {m.name: [result.scores.get(m.name) for result in good] for m in METRICS}
    columns = {name: column for name, column in columns.items() if _has_values(column)}
    cases = Cases(
        key=[result.key for result in good],
        kind=[result.kind for result in good],
        instruction=[result.instruction for result in good],
        scores=columns,
    )
    left_out = [LeftOut(key=r.key, reason=r.left_out) for r in results if r.left_out is not None]
    made = of_cases(label, name, cases, left_out)
    seen = None if trained_on is None else list(trained_on)
    return made.model_copy(update={"sha256": sha256, "settings": settings, "trained_on": seen})


def of_cases(label: str, name: str, cases: Cases, left_out: Sequence[LeftOut] = ()) -> ModelReport:
    """Means with intervals by kind and overall, of scored cases."""
    unknown = {metric: column.count(None) for metric, column in cases.scores.items()}
    return ModelReport(
        label=label,
        name=name,
        sha256=None,
        settings={},
        scores={kind: _estimates(cases, rows) for kind, rows in _rows_by_kind(cases).items()},
        undefined={metric: count for metric, count in unknown.items() if count},
        cases=cases,
        left_out=list(left_out),
    )


def make_report(
    *,
    title: str,
    data: dict[str, Any],
    models: Sequence[ModelReport],
    notes: Sequence[str],
    command: str,
    versions: dict[str, str],
    unedited: ModelReport | None = None,
    findings: Mapping[str, Findings] | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Report:
    """Put models side by side: every two are compared, the later one against the earlier.

    `unedited` are the results of returning the input; every model is compared with it. `findings`
    are the audits', by a model's label.
    """
    found = dict(findings or {})
    known = {name for model in models for name in model.cases.scores}
    own = [] if unedited is None else [compare_models(unedited, model) for model in models]
    infos = [
        MetricInfo.model_validate(metric, from_attributes=True)
        for metric in METRICS
        if metric.name in known
    ]
    return Report(
        title=title,
        data=data,
        headline=_headline(infos, models),
        metrics=infos,
        models=list(models),
        comparisons=[compare_models(a, b) for a, b in combinations(models, 2)],
        unedited=unedited,
        against_unedited=own,
        notes=list(notes),
        command=command,
        versions=versions,
        curves={label: one.curve for label, one in found.items() if one.curve},
        drift={label: one.drift for label, one in found.items() if one.drift},
        bias={label: one.bias for label, one in found.items() if one.bias},
        origin=dict(origin or {}),
    )


def compare_models(a: ModelReport, b: ModelReport) -> Comparison:
    """Paired differences over the cases that both models have.

    Cases are the same where key and instruction are; of repeated ones the first is the first.
    Each metric asks once overall and once of every kind; the kinds are corrected together.
    """
    position = {case: index for index, case in enumerate(identities(b.cases))}
    pairs = [(i, position[case]) for i, case in enumerate(identities(a.cases)) if case in position]
    kinds: dict[str, list[tuple[int, int]]] = {OVERALL: pairs}
    for i, j in pairs:
        kinds.setdefault(a.cases.kind[i], []).append((i, j))
    differences: dict[str, dict[str, Difference]] = {}
    for kind, rows in _several(kinds).items():
        for name in (n for n in a.cases.scores if n in b.cases.scores):
            difference = paired_difference(
                [a.cases.scores[name][i] for i, _ in rows],
                [b.cases.scores[name][j] for _, j in rows],
                higher_is_better=METRIC[name].better == "higher",
                share=METRIC[name].is_share,
                bounds=METRIC[name].difference_bounds,
            )
            if difference is not None:
                differences.setdefault(kind, {})[name] = difference
    _correct(differences)
    return Comparison(
        a=a.label,
        b=b.label,
        differences=differences,
        only_a=[name for name in a.cases.scores if name not in b.cases.scores],
        only_b=[name for name in b.cases.scores if name not in a.cases.scores],
    )


def identities(cases: Cases) -> list[tuple[str, str, int]]:
    """What tells each case from all others: key, instruction, and which of equal ones it is."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for case in zip(cases.key, cases.instruction, strict=True):
        found.append((*case, seen[case]))
        seen[case] += 1
    return found


def _correct(differences: dict[str, dict[str, Difference]]) -> None:
    """Enter p-values corrected after Holm over the kinds of edit, metric by metric."""
    kinds = {kind: found for kind, found in differences.items() if kind != OVERALL}
    for name in dict.fromkeys(name for found in kinds.values() for name in found):
        ps = {kind: found[name].p for kind, found in kinds.items() if name in found}
        for kind, corrected in holm(ps).items():
            kinds[kind][name] = kinds[kind][name].model_copy(update={"p_corrected": corrected})


def _headline(infos: Sequence[MetricInfo], models: Sequence[ModelReport]) -> str:
    """The metric that settles arguments: the first of these that all models have, or that one has."""
    names = [name for name in HEADLINES if any(info.name == name for info in infos)]
    shared = [name for name in names if all(name in model.cases.scores for model in models)]
    return (shared or names or [infos[0].name])[0]


def _rows_by_kind(cases: Cases) -> dict[str, list[int]]:
    """The rows of each kind, overall first; kinds only where there are several."""
    kinds: dict[str, list[int]] = {OVERALL: list(range(len(cases.key)))}
    for row, kind in enumerate(cases.kind):
        kinds.setdefault(kind, []).append(row)
    return _several(kinds)


def _several(kinds: dict[str, Any]) -> dict[str, Any]:
    return kinds if len(kinds) > 2 else {OVERALL: kinds[OVERALL]}


def _estimates(cases: Cases, rows: Sequence[int]) -> dict[str, Estimate]:
    found = {
        name: estimate(
            [column[row] for row in rows], share=METRIC[name].is_share, bounds=METRIC[name].bounds
        )
        for name, column in cases.scores.items()
    }
    return {name: value for name, value in found.items() if value is not None}


def _has_values(column: Sequence[float | None]) -> bool:
    return any(value is not None for value in column)
