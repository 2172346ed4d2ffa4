"""Plots of pages: what they say in numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from overpaint.html.plots import Histogram, histogram_plot
from overpaint.html.rendering import page_style, render


def polygons(svg: str) -> list[list[tuple[float, float]]]:
    """The outlines of the distributions, as points."""
    found = re.findall(r'class="area [^"]*" points="([^"]*)"', svg)
    return [[tuple(map(float, p.split(","))) for p in one.split()] for one in found]  # type: ignore[misc]


def plot(**changes: object) -> str:
    values = {"first": -1.0, "width": 0.02, "title": "t", "x_title": "cosine"}
    series = {"few": {50: 1, 52: 1}, "many": {50: 300, 51: 100}}
    return histogram_plot(Histogram(**{"series": series, **values, **changes}))  # type: ignore[arg-type]


def test_distributions_are_drawn_in_shares_of_their_own_total() -> None:
    few, many = polygons(plot())
    bottom = max(y for _, y in few)
    tallest = [bottom - min(y for _, y in outline) for outline in (few, many)]
    assert abs(tallest[0] / tallest[1] - 0.5 / 0.75) < 0.01


def test_an_empty_bin_between_two_is_drawn_empty() -> None:
    few, _ = polygons(plot())
    bottom = max(y for _, y in few)
    assert sum(y == bottom for _, y in few) == 4  # both ends, and both ends of bin 51


def test_a_distribution_of_nothing_is_left_out() -> None:
    assert len(polygons(plot(series={"none": {}, "some": {10: 1}}))) == 1


def test_the_threshold_stands_where_it_is_beyond_all_values() -> None:
    svg = plot(threshold=0.9).partition("<ul")[0]
    ElementTree.fromstring(svg)
    (x,) = re.findall(r'class="zero" x1="([\d.]+)"', svg)
    assert float(x) > max(x for x, _ in polygons(svg)[0])
    assert "≥ 0.9" in svg


def test_texts_are_escaped_and_the_style_is_not() -> None:
    page = render("<style>{{ style }}</style>{{ words }}", words="<b>&")
    assert page_style() in page
    assert page.endswith("&lt;b&gt;&amp;")
