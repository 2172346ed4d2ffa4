"""Two reports side by side: which model is better, on which kinds, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

from overpaint.errors import UserError
from overpaint.evaluation.intervals import Difference
from overpaint.evaluation.report import OVERALL, Comparison, Report, make_report
from overpaint.evaluation.scoring import METRIC


@dataclass(frozen=True)
class Verdict:
    """The kinds on which b is clearly better or worse than a in one metric, and the rest."""

    better: list[str]
    worse: list[str]
    unclear: list[str]


def merge_reports(a: Report, b: Report) -> Report:
    """One report of both files' models, compared over the cases that they share.

    Models of one name are told apart by "(1)" and "(2)".

    Raises:
        UserError: the two have no case in common.
    """
    theirs = {model.label for model in b.models}
    clash = any(model.label in theirs for model in a.models)
    models = []
    for number, report in enumerate((a, b), start=1):
        for model in report.models:
            label = f"{model.label} ({number})" if clash else model.label
            models.append(model.model_copy(update={"label": label}))
    keys = [{key for model in report.models for key in model.cases.key} for report in (a, b)]
    if not keys[0] & keys[1]:
        raise UserError(
            "the two reports have no case in common: evaluate both models on the same data "
            f"({a.title}; {b.title})."
        )
    same = a.data == b.data
    notes = [] if same else ["The reports have different data: only shared cases are compared."]
    return make_report(
        title=a.title if same else f"{a.title} / {b.title}",
        data=a.data if same else {"a": a.data, "b": b.data},
        models=models,
        notes=[*notes, *dict.fromkeys([*a.notes, *b.notes])],
        command="overpaint compare",
        versions=b.versions,
    )


def verdict(comparison: Comparison, metric: str) -> Verdict:
    """Sort the kinds by what their intervals say of `metric`: b is better, worse, or unclear."""
    better: list[str] = []
    worse: list[str] = []
    unclear: list[str] = []
    for kind, found in comparison.differences.items():
        if kind == OVERALL or metric not in found:
            continue
        side = better if is_better(found[metric], metric) else worse
        (side if found[metric].is_clear else unclear).append(kind)
    return Verdict(better, worse, unclear)


def is_better(difference: Difference, metric: str) -> bool:
    """Whether b is ahead of a in this metric."""
    return (difference.mean > 0) == (METRIC[metric].better == "higher")


def in_words(comparison: Comparison, metric: str) -> str:
    """One sentence that settles the argument, or says that it is open."""
    overall = comparison.differences.get(OVERALL, {}).get(metric)
    a, b, title = comparison.a, comparison.b, METRIC[metric].title
    if overall is None:
        return f"{a} and {b} share no case with {title}."
    ahead, behind = (b, a) if is_better(overall, metric) else (a, b)
    if not overall.is_clear:
        said = f"{a} and {b} cannot be told apart by {title} on {overall.count} cases"
    else:
        said = f"{ahead} is better than {behind} by {title} on {overall.count} cases"
    said += f" ({show_difference(overall, metric)}; {b} wins {100 * overall.win_rate:.0f} %)"
    found = verdict(comparison, metric)
    for words, kinds in (("better", found.better), ("worse", found.worse)):
        if kinds:
            said += f"; {b} is clearly {words} on {', '.join(kinds)}"
    return said + "."


def show_difference(difference: Difference, metric: str) -> str:
    """A difference with its interval, in the metric's unit."""
    unit = METRIC[metric].unit
    factor, digits, after = {"share": (100, 1, " points"), "dB": (1, 2, " dB")}.get(
        unit, (1, 4, "")
    )
    numbers = [difference.mean, difference.low, difference.high]
    mean, low, high = ("—" if n is None else f"{n * factor:+.{digits}f}" for n in numbers)
    return f"{mean}{after}, 95 % interval {low} to {high}"
