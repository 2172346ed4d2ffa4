"""Two reports side by side: which model is better, on which kinds, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

from overpaint.errors import UserError
from overpaint.metrics.definitions import METRIC
from overpaint.metrics.intervals import Difference
from overpaint.report.build import identities, make_report, of_cases
from overpaint.report.schema import OVERALL, UNEDITED, Cases, Comparison, ModelReport, Report


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
    ours, others = (
        {case for model in report.models for case in identities(model.cases)} for report in (a, b)
    )
    if not ours & others:
        raise UserError(
            "the two reports have no case in common: evaluate both models on the same data "
            f"({a.title}; {b.title})."
        )
    same = a.data == b.data
    notes = [] if same else ["The reports have different data: only shared cases are compared."]
    notes += _other_judges(a, b)
    merged = make_report(
        title=a.title if same else f"{a.title} / {b.title}",
        data=a.data if same else {"a": a.data, "b": b.data},
        models=models,
        notes=[*notes, *dict.fromkeys([*a.notes, *b.notes])],
        command="overpaint compare",
        versions=b.versions,
        unedited=_join_unedited(a.unedited, b.unedited),
    )
    alone = dict.fromkeys(words for one in merged.comparisons for words in only_in_words(one))
    return merged.model_copy(update={"notes": [*merged.notes, *alone]})


def _other_judges(a: Report, b: Report) -> list[str]:
    """A note for each judge that is not the same model in both reports."""
    before, after = (dict(report.origin.get("judges", {})) for report in (a, b))
    return [
        f"The reports were judged by different models ({name}): its similarities are of two scales, "
        "and their differences mean nothing."
        for name in sorted(before.keys() & after.keys())
        if None not in (before[name], after[name]) and before[name] != after[name]
    ]


def only_in_words(comparison: Comparison) -> list[str]:
    """A sentence for each side that has metrics which the other has not."""
    sides = ((comparison.a, comparison.only_a), (comparison.b, comparison.only_b))
    return [
        f"Only in {label}, so not compared: {', '.join(METRIC[name].title for name in names)}."
        for label, names in sides
        if names
    ]


def _join_unedited(a: ModelReport | None, b: ModelReport | None) -> ModelReport | None:
    """The baseline over the cases of both reports; of a case that both have, the first's scores."""
    if a is None or b is None:
        return a or b
    known = set(identities(a.cases))
    more = [i for i, case in enumerate(identities(b.cases)) if case not in known]
    if not more:
        return a
    names = [name for name in METRIC if name in a.cases.scores or name in b.cases.scores]
    unknown: list[float | None] = [None] * len(a.cases.key)
    cases = Cases(
        key=[*a.cases.key, *(b.cases.key[i] for i in more)],
        kind=[*a.cases.kind, *(b.cases.kind[i] for i in more)],
        instruction=[*a.cases.instruction, *(b.cases.instruction[i] for i in more)],
        scores={
            name: [
                *a.cases.scores.get(name, unknown),
                *(b.cases.scores[name][i] if name in b.cases.scores else None for i in more),
            ]
            for name in names
        },
    )
    return of_cases(UNEDITED, UNEDITED, cases)


def verdict(comparison: Comparison, metric: str) -> Verdict:
    """Sort the kinds by `metric`: b is better, worse, or unclear (p corrected over the kinds)."""
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
    by = f"by {title} ({METRIC[metric].direction}) on {overall.count} cases"
    ahead, behind = (b, a) if is_better(overall, metric) else (a, b)
    if not overall.is_clear:
        said = f"{a} and {b} cannot be told apart {by}"
    else:
        said = f"{ahead} is better than {behind} {by}"
    said += f" ({show_difference(overall, metric)}; {b} wins {100 * overall.win_rate:.0f} %)"
    return said + _kinds_in_words(comparison, metric, b) + "."


def against_unedited_in_words(comparison: Comparison, metric: str, unedited: float | None) -> str:
    """Whether a model does better than nothing at all, by the metric that decides and the others.

    `comparison` is that of `Report.against_unedited`, `unedited` the baseline's own mean.
    """
    model, differences = comparison.b, comparison.differences.get(OVERALL, {})
    found = differences.get(metric)
    if found is None or unedited is None:
        return f"{model} and returning the input share no case with {METRIC[metric].title}."
    if found.is_clear:
        said = f"{model} is {'better' if is_better(found, metric) else 'worse'} than returning"
    else:
        said = f"{model} cannot be told apart from returning"
    mean = show_value(unedited, METRIC[metric].unit)
    said += (
        f" the input unedited, whose {METRIC[metric].title} is {mean} ({METRIC[metric].direction})"
    )
    worse = [
        METRIC[name].title
        for name, one in differences.items()
        if name != metric and one.is_clear and not is_better(one, name)
        and not METRIC[name].is_of_keeping
    ]  # fmt: skip
    if worse:
        said += f"; by {', '.join(worse)} it is worse than returning the input"
    return said + "."


def training_in_words(model: ModelReport) -> str:
    """How many of the cases were among the model's training pairs, as far as it is known."""
    if model.trained_on is None:
        return f"It is not known which pairs {model.label} was trained on."
    count = len(model.cases.key) + len(model.left_out)
    if not model.trained_on:
        return f"None of the {count} cases was among the pairs that {model.label} was trained on."
    return (
        f"{len(model.trained_on)} of the {count} cases were among the pairs that {model.label} was "
        "trained on: of these its figures say nothing of new pictures."
    )


def _kinds_in_words(comparison: Comparison, metric: str, b: str) -> str:
    found = verdict(comparison, metric)
    sides = (("better", found.better), ("worse", found.worse))
    said = [f"; {b} is clearly {words} on {', '.join(kinds)}" for words, kinds in sides if kinds]
    return "".join(said)


def show_value(value: float, unit: str) -> str:
    """A number with its unit: shares in percent, decibels with one digit, the rest with three."""
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "dB":
        return f"{value:.1f} dB"
    return f"{value:.4f}" if 0 < abs(value) < 0.01 else f"{value:.3f}"


def show_difference(difference: Difference, metric: str) -> str:
    """A difference with its interval, in the metric's unit."""
    unit = METRIC[metric].unit
    factor, digits, after = {"share": (100, 1, " points"), "dB": (1, 2, " dB")}.get(
        unit, (1, 4, "")
    )
    numbers = [difference.mean, difference.low, difference.high]
    mean, low, high = ("" if n is None else f"{n * factor:+.{digits}f}" for n in numbers)
    return f"{mean}{after}, 95 % interval {low} to {high}" if low and high else f"{mean}{after}"
