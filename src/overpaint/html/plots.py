"""Plots as SVG for the report: dots with intervals, and curves. No library, no script.

Colours are the page's CSS variables, so that plots follow its dark and its printed look; each
series has a marker of its own shape, so that they can be told apart without colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 440  # units; on a phone they are about a pixel each, so letters stay legible
_LETTERS = 12
_ROW = 22
_MARKS = ("circle", "square", "diamond", "triangle")

Show = Callable[[float], str]


@dataclass(frozen=True)
class Dot:
    """A mean with its interval (None where unknown)."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Point:
    """A point of a curve, with words that stand beside it."""

    x: float
    y: float
    label: str = ""
    low: float | None = None
    high: float | None = None


def dot_plot(
    rows: Mapping[str, Sequence[Dot | None]],
    series: Sequence[str],
    *,
    title: str,
    show: Show,
    axis: tuple[float, float] | None = None,
    zero: bool = False,
) -> str:
    """A row a kind, in it a dot with its interval for each series; `zero` draws a line there."""
    every = [dot for dots in rows.values() for dot in dots if dot]
    ends = [v for dot in every for v in (dot.value, dot.low, dot.high) if v is not None]
    low, high = axis or _span([*ends, *([0.0] if zero else [])])
    step = max(_ROW, 9 * len(series) + 8)
    left, right, top = 112, 22, 8
    bottom = top + step * len(rows)
    scale = _Scale(low, high, left, WIDTH - right)
    parts = [_vertical(scale.at(t), top, bottom, show(t)) for t in _ticks(low, high)]
    if zero:
        parts.append(_line(scale.at(0), top, scale.at(0), bottom, "zero"))
    for index, (name, dots) in enumerate(rows.items()):
        middle = top + step * (index + 0.5)
        parts.append(_text(left - 8, middle + 4, name, "end"))
        if index:
            parts.append(_line(0, top + step * index, WIDTH, top + step * index, "rule"))
        for number, dot in enumerate(dots):
            if dot is None:
                continue
            y = middle + 9 * (number - (len(dots) - 1) / 2)
            said = f"{name}, {series[number]}: {_in_words(dot, show)}"
            mark = "".join(
                [
                    _interval_line(scale, dot, y, number),
                    _mark(scale.at(dot.value), y, number),
                    f"<title>{escape(said)}</title>",
                ]
            )
            parts.append(f"<g>{mark}</g>")
    return _svg(parts, bottom + 22, title) + _legend(series)


def curve_plot(
    curves: Mapping[str, Sequence[Point]],
    *,
    title: str,
    x_title: str,
    y_title: str,
) -> str:
    """One line a series through its points, in their order, with vertical intervals."""
    points = [point for curve in curves.values() for point in curve]
    x_low, x_high = _span([point.x for point in points])
    y_low, y_high = _span([v for p in points for v in (p.y, p.low, p.high) if v is not None])
    left, right, top, bottom = 58, 22, 14, 250
    across, up = _Scale(x_low, x_high, left, WIDTH - right), _Scale(y_low, y_high, bottom, top)
    parts = [_vertical(across.at(t), top, bottom, f"{t:g}") for t in _ticks(x_low, x_high)]
    for tick in _ticks(y_low, y_high):
        y = up.at(tick)
        parts += [_line(left, y, WIDTH - right, y, "rule"),
                  _text(left - 6, y + 4, f"{tick:g}", "end")]  # fmt: skip
    for number, (name, curve) in enumerate(curves.items()):
        path = " ".join(f"{across.at(p.x):.1f},{up.at(p.y):.1f}" for p in curve)
        parts.append(f'<polyline class="s{number % 6}" points="{path}"/>')
        for point in curve:
            x, y = across.at(point.x), up.at(point.y)
            if point.low is not None and point.high is not None:
                ends = (up.at(point.low), up.at(point.high))
                parts.append(_line(x, ends[0], x, ends[1], f"whisker s{number % 6}"))
            said = f"{name}, {point.label}: {point.x:g}, {point.y:g}"
            parts.append(f"<g>{_mark(x, y, number)}<title>{escape(said)}</title></g>")
        for point in _ends(curve):
            if point.label:
                beside = "end" if across.at(point.x) > WIDTH - 120 else "start"
                shift = -8 if beside == "end" else 8
                parts.append(_text(across.at(point.x) + shift, up.at(point.y) - 7, point.label,
                                   beside, "small"))  # fmt: skip
    parts.append(_text((left + WIDTH - right) / 2, bottom + 34, x_title, "middle"))
    middle = (top + bottom) / 2
    turned = f'transform="rotate(-90 12 {middle})"'
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" {turned}>{escape(y_title)}</text>'
    )
    return _svg(parts, bottom + 42, title) + _legend(list(curves))


@dataclass(frozen=True)
class Histogram:
    """Distributions over one another, each in shares of its own total.

    A series maps bins to counts; bin b reaches from `first` + b · `width` to the next. `threshold`
    draws a line there.
    """

    series: Mapping[str, Mapping[int, int]]
    first: float
    width: float
    title: str
    x_title: str
    threshold: float | None = None

    def drawing(self) -> tuple[list[str], float]:
        """The elements of the plot, `WIDTH` units wide, and its height in units."""
        first, width, threshold = self.first, self.width, self.threshold
        shares = {name: _shares(bins) for name, bins in self.series.items()}
        bins = [b for found in shares.values() for b in found]
        ends = [first + b * width for b in bins] + [first + (b + 1) * width for b in bins]
        ends += [] if threshold is None else [threshold]
        low, high = _span(ends)
        most = max((share for found in shares.values() for share in found.values()), default=1.0)
        left, right, top, bottom = 10, 10, 16, 120
        across, up = _Scale(low, high, left, WIDTH - right), _Scale(0, most, bottom, top)
        parts = [_vertical(across.at(t), top, bottom, f"{t:g}") for t in _ticks(low, high)]
        for number, (name, found) in enumerate(shares.items()):
            if not found:
                continue
            edges: list[tuple[float, float]] = [(across.at(first + min(found) * width), bottom)]
            for b in range(min(found), max(found) + 1):
                y = up.at(found.get(b, 0.0))
                edges += [
                    (across.at(first + b * width), y),
                    (across.at(first + (b + 1) * width), y),
                ]
            edges.append((edges[-1][0], bottom))
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in edges)
            said = f"<title>{escape(name)}</title>"
            parts.append(f'<polygon class="area s{number % 6}" points="{path}">{said}</polygon>')
        if threshold is not None:
            x = across.at(threshold)
            beside, shift = ("end", -5) if x > WIDTH - 90 else ("start", 5)
            parts += [_line(x, 4, x, bottom, "zero"),
                      _text(x + shift, 13, f"≥ {threshold:g}", beside)]  # fmt: skip
        parts.append(_text((left + WIDTH - right) / 2, bottom + 34, self.x_title, "middle"))
        return parts, bottom + 42


def histogram_plot(histogram: Histogram) -> str:
    """One histogram as an SVG for a page, with its legend."""
    parts, height = histogram.drawing()
    return _svg(parts, height, histogram.title) + _legend(list(histogram.series))


def histogram_file(histograms: Sequence[Histogram], style: str) -> str:
    """Histograms one below the other as a whole SVG file, which carries its style sheet."""
    groups, height = [], 0.0
    for histogram in histograms:
        parts, tall = histogram.drawing()
        groups.append(f'<g transform="translate(0 {height:.0f})">{"".join(parts)}</g>')
        height += tall + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'font-size="{_LETTERS}"><style>{style} .plot {{ font-family: system-ui, sans-serif }}'
        f"</style>{''.join(groups)}</svg>\n"
    )


def _shares(bins: Mapping[int, int]) -> dict[int, float]:
    total = sum(bins.values())
    return {b: count / total for b, count in sorted(bins.items()) if count}


@dataclass(frozen=True)
class _Scale:
    """From values to units of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * share


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Round ends just beyond the values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    step = _step(low, high)
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _step(low: float, high: float) -> float:
    """A round distance of ticks (1, 2 or 5 times a power of ten), about five of them."""
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def _ticks(low: float, high: float) -> list[float]:
    step = _step(low, high)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, last + 1)]


def _ends(curve: Sequence[Point]) -> Sequence[Point]:
    return curve if len(curve) < 2 else (curve[0], curve[-1])


def _in_words(dot: Dot, show: Show) -> str:
    if dot.low is None or dot.high is None:
        return show(dot.value)
    return f"{show(dot.value)} ({show(dot.low)} to {show(dot.high)})"


def _svg(parts: Sequence[str], height: float, title: str) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}" font-size="{_LETTERS}">{"".join(parts)}</svg>'
    )


def _legend(series: Sequence[str]) -> str:
    """The names of the series with their markers; one alone needs no legend."""
    if len(series) < 2:
        return ""
    keys = [
        f'<li><svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">'
        f"{_mark(6, 6, number)}</svg> {escape(name)}</li>"
        for number, name in enumerate(series)
    ]
    return f'<ul class="legend">{"".join(keys)}</ul>'


def _vertical(x: float, top: float, bottom: float, text: str) -> str:
    return _line(x, top, x, bottom, "rule") + _text(x, bottom + 16, text, "middle", "small")


def _interval_line(scale: _Scale, dot: Dot, y: float, number: int) -> str:
    if dot.low is None or dot.high is None:
        return ""
    return _line(scale.at(dot.low), y, scale.at(dot.high), y, f"whisker s{number % 6}")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def _mark(x: float, y: float, number: int) -> str:
    """The marker of a series: a shape and a colour of its own."""
    kind, shape = f'class="mark s{number % 6}"', _MARKS[number % len(_MARKS)]
    if shape == "circle":
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    corners = {
        "square": ((-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)),
        "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "triangle": ((0, -4.8), (4.6, 3.6), (-4.6, 3.6)),
    }[shape]
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon {kind} points="{path}"/>'
