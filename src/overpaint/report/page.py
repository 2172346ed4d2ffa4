"""`report.html`: one file with everything inside, for a screen, a phone and a printer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overpaint.files import write_atomic
from overpaint.html.plots import Dot, Point, curve_plot, dot_plot
from overpaint.html.rendering import read_part, render
from overpaint.metrics.definitions import METRIC, Metric
from overpaint.metrics.intervals import ALPHA, Difference, Estimate
from overpaint.report.comparison import (
    against_unedited_in_words,
    in_words,
    only_in_words,
    show_difference,
    show_value,
    training_in_words,
)
from overpaint.report.schema import OVERALL, Comparison, ModelReport, Report
from overpaint.report.sections import Gallery, Shot

_FILES = "page_files"


@dataclass(frozen=True)
class ShownEdit:
    """What a model made of a case: its picture as a data: address, each of its scores in words."""

    picture: str
    scores: Sequence[str]


@dataclass(frozen=True)
class ShownCase:
    """One case on the page: before, what each model made of it, and where it is known the target."""

    instruction: str
    kind: str
    before: str
    edits: Mapping[str, ShownEdit]
    """by the model's label"""
    target: str | None


@dataclass
class Pictures:
    """What the page shows beside the numbers; pictures are data: addresses."""

    cases: dict[str, list[ShownCase]] = field(default_factory=dict)
    """by group: the best, the worst, ..."""
    galleries: dict[str, list[Gallery]] = field(default_factory=dict)
    """by model"""
    bias: dict[str, list[Shot]] = field(default_factory=dict)
    """by model"""


def write_page(report: Report, pictures: Pictures, path: Path) -> Path:
    """Write the page.

    Raises:
        UserError: it cannot be written.
    """
    write_atomic(path, render_page(report, pictures).encode())
    return path


def render_page(report: Report, pictures: Pictures) -> str:
    """The page as HTML; every text of the data's is escaped."""
    from markupsafe import Markup

    return render(
        _read("report.html.jinja"),
        {
            "number": show_estimate,
            "plain": show_plain,
            "value": show_value,
            "p": show_p,
            "training": training_in_words,
            "only": only_in_words,
            "pictures": _pictures_of,
        },
        script=_read("report.js"),
        report=report,
        rows=_rows(report),
        undefined=_undefined(report),
        pictures=pictures,
        metrics=[METRIC[info.name] for info in report.metrics],
        headline=METRIC[report.headline],
        sentences=summary(report),
        kinds_plot=Markup(_kinds_plot(report)),
        comparisons=[_comparison(report, one, Markup) for one in report.comparisons],
        against_unedited=[
            {"a": one.a, "b": one.b, "rows": _differences(report, one, OVERALL)}
            for one in report.against_unedited
        ],
        curves_plot=Markup(_curves_plot(report)),
        drift_plot=Markup(_drift_plot(report)),
        recipe=json.dumps(_recipe(report), indent=2, ensure_ascii=False),
        overall=OVERALL,
    )


def summary(report: Report) -> list[str]:
    """What the numbers say: of each model, of it against an unedited picture, of every two."""
    metric = METRIC[report.headline]
    sentences = []
    for model in report.models:
        found = model.scores[OVERALL].get(metric.name)
        if found is None:
            continue
        if metric.name == "retrieval":
            said = (
                f"{model.label} gets {show_value(found.mean, 'share')} of {found.count} edits right"
            )
        else:
            mean = show_value(found.mean, metric.unit)
            said = f"The mean {metric.title} of {model.label} is {mean} on {found.count} edits"
        if found.low is not None and found.high is not None:
            low, high = show_value(found.low, metric.unit), show_value(found.high, metric.unit)
            said += f" (95 % interval {low} to {high})"
        if metric.name != "retrieval":
            said += f"; {metric.direction}"
        sentences.append(said + ".")
        sentences += against_nothing(report, model.label)
        sentences += [training_in_words(model)] if model.trained_on else []
    return sentences + [in_words(one, metric.name) for one in report.comparisons]


def against_nothing(report: Report, label: str | None = None) -> list[str]:
    """A sentence for each model (or the one of this label): is it better than no edit at all?"""
    if report.unedited is None:
        return []
    own = report.unedited.scores[OVERALL].get(report.headline)
    mean = own.mean if own else None
    return [
        against_unedited_in_words(one, report.headline, mean)
        for one in report.against_unedited
        if label in (None, one.b)
    ]


def show_estimate(found: Estimate | None, unit: str) -> Any:
    """A mean and, smaller, its interval, as HTML."""
    from markupsafe import Markup

    if found is None:
        return "—"
    mean = show_value(found.mean, unit)
    if found.low is None or found.high is None:
        return mean
    low, high = (show_value(end, unit).split(" ")[0] for end in (found.low, found.high))
    return Markup('{} <span class="interval">{} to {}</span>').format(mean, low, high)


def show_plain(found: Difference | None, metric: str) -> str:
    """A difference and its interval."""
    return "—" if found is None else show_difference(found, metric)


def show_p(found: Difference) -> str:
    """The p-value that decides, corrected where it is one of several kinds."""
    p = found.p if found.p_corrected is None else found.p_corrected
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 2 * ALPHA else f"{p:.2f}"


def _pictures_of(case: ShownCase) -> int:
    """How many pictures stand side by side."""
    return 1 + len(case.edits) + (case.target is not None)


def _rows(report: Report) -> list[ModelReport]:
    """The rows of every table: the models, and the pictures as they came."""
    return [*report.models, *([report.unedited] if report.unedited else [])]


def _undefined(report: Report) -> list[str]:
    """What figures leave cases out, a sentence each; the baseline's are those of its models."""
    return [
        f"{METRIC[name].title} is not defined on {count} of {len(model.cases.key)} cases of "
        f"{model.label}; they count in no mean of it."
        for model in report.models
        for name, count in model.undefined.items()
    ]


def _comparison(report: Report, one: Comparison, markup: Any) -> dict[str, Any]:
    """What the page says of two models."""
    metric = METRIC[report.headline]
    name, unit = metric.name, metric.unit
    rows = {kind: [_dot(found[name])] for kind, found in one.differences.items() if name in found}
    plot = ""
    if rows:
        title = f"{one.b} minus {one.a}: {metric.title}"
        plot = dot_plot(rows, [one.b], title=title, zero=True, show=lambda v: _signed(v, unit))
    table = _differences(report, one)
    first = [row for row in table if row[0] == OVERALL or row[1].name == name]
    side = "right" if metric.better == "higher" else "left"
    return {
        "a": one.a,
        "b": one.b,
        "sentence": in_words(one, name),
        "plot": markup(plot),
        "caption": f"{metric.title}, {one.b} minus {one.a}, with 95 % intervals: to the {side} of "
        f"the dashed line {one.b} is better.",
        "only": only_in_words(one),
        "first": first,
        "rest": [row for row in table if row not in first],
    }


def _differences(
    report: Report, one: Comparison, kind: str | None = None
) -> list[tuple[str, Metric, Difference]]:
    """The rows of a table of differences, of all kinds or of one."""
    return [
        (name, METRIC[info.name], found[info.name])
        for name, found in one.differences.items()
        for info in report.metrics
        if info.name in found and kind in (None, name)
    ]


def _kinds_plot(report: Report) -> str:
    """The deciding metric by kind, all models in one plot; the kinds of the first, best first."""
    metric = METRIC[report.headline]
    first = report.models[0]
    kinds = [kind for kind in first.scores if kind != OVERALL and metric.name in first.scores[kind]]
    better = metric.better == "higher"
    kinds.sort(key=lambda kind: first.scores[kind][metric.name].mean, reverse=better)
    rows = {
        kind: [_dot(model.scores.get(kind, {}).get(metric.name)) for model in _rows(report)]
        for kind in [OVERALL, *kinds]
    }
    return dot_plot(
        rows,
        [model.label for model in _rows(report)],
        title=f"{metric.title} by kind of edit, with 95 % intervals; {metric.direction}",
        axis=(0.0, 1.0) if metric.unit == "share" else None,
        show=lambda value: _tick(value, metric.unit),
    )


def _curves_plot(report: Report) -> str:
    """Figure 8 of 2211.09800: directional similarity against image similarity."""
    curves: dict[str, list[Point]] = {}
    for label, points in report.curves.items():
        for point in points:
            if not {"clip_image", "clip_direction"} <= point.scores.keys():
                continue
            name = f"{label}, s_T {point.guidance_scale:g}"
            direction = point.scores["clip_direction"]
            curves.setdefault(name, []).append(
                Point(
                    x=point.scores["clip_image"].mean,
                    y=direction.mean,
                    label=f"s_I {point.image_guidance_scale:g}",
                    low=direction.low,
                    high=direction.high,
                )
            )
    if not curves:
        return ""
    return curve_plot(
        curves,
        title="CLIP directional similarity against CLIP image similarity over image scales",
        x_title="CLIP image similarity ↑ (how much was kept)",
        y_title="CLIP directional similarity ↑",
    )


def _drift_plot(report: Report) -> str:
    """PSNR of untouched pixels over edits in turn."""
    curves = {
        label: [
            Point(turn, found.mean, "", found.low, found.high)
            for turn, found in enumerate(drift.untouched_psnr, start=1)
            if found is not None
        ]
        for label, drift in report.drift.items()
    }
    if not curves:
        return ""
    return curve_plot(
        curves,
        title="PSNR of untouched pixels after 1 to 8 edits in turn",
        x_title="edits in turn",
        y_title="PSNR of untouched pixels ↑, dB",
    )


def _recipe(report: Report) -> dict[str, Any]:
    """What a rerun needs."""
    return {
        "command": report.command,
        "data": report.data,
        "models": {model.label: _origin(model) for model in report.models},
        "versions": report.versions,
    }


def _origin(model: ModelReport) -> dict[str, Any]:
    return {"name": model.name, "sha256": model.sha256, **model.settings}


def _dot(found: Estimate | None) -> Dot | None:
    return Dot(found.mean, found.low, found.high) if found else None


def _tick(value: float, unit: str) -> str:
    return f"{100 * value:g} %" if unit == "share" else f"{value:.3g}"


def _signed(value: float, unit: str) -> str:
    if value == 0:
        return "0"
    return f"{100 * value:+g}" if unit == "share" else f"{value:+.3g}"


def _read(name: str) -> str:
    return read_part("overpaint.report", f"{_FILES}/{name}")


def scores_in_words(scores: Mapping[str, float | None], names: Sequence[str]) -> list[str]:
    """The scores of one case, each in a few words."""
    said = []
    for name in names:
        value = scores.get(name)
        if value is None:
            continue
        if name == "retrieval":
            said.append("right" if value else "not the nearest")
        else:
            metric = METRIC[name]
            said.append(f"{metric.title} {metric.arrow} {show_value(value, metric.unit)}")
    return said
