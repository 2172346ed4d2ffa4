"""The report: its numbers, its schema, its page, and two of them side by side."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from overpaint.errors import UserError
from overpaint.evaluation.comparison import in_words, merge_reports, verdict
from overpaint.evaluation.curve import CurvePoint
from overpaint.evaluation.galleries import Drift, Gallery, Shot
from overpaint.evaluation.intervals import Estimate, estimate
from overpaint.evaluation.page import Pictures, ShownCase, render_page, show_value, summary
from overpaint.evaluation.report import (
    Report,
    make_report,
    model_report,
    read_report,
    write_report,
)
from overpaint.evaluation.runs import CaseResult
from overpaint.pages.plots import Dot, Point, curve_plot, dot_plot

DOT = "data:image/png;base64,AAAA"


def results(hits: int, count: int = 40, evil: str = "make it night") -> list[CaseResult]:
    """`night` is hit in the first `hits` cases of twenty, `swap` never; the last is left out."""
    rows = []
    for i in range(count):
        night = i % 2 == 0
        scores = {"retrieval": float(night and i // 2 < hits), "l2": 0.01 * i}
        rows.append(CaseResult(i, f"key {i}", "night" if night else "swap", evil, scores))
    return [*rows, CaseResult(count, "key x", "night", evil, {}, "row 40 holds no picture.")]


def report(*models: tuple[str, list[CaseResult]], **sections: object) -> Report:
    return make_report(
        title="40 scenes",
        data={"data": "scenes", "count": 40},
        models=[model_report(name, name, None, {"seed": 0}, rows) for name, rows in models],
        notes=["DINO similarity was left out: no DINO was given."],
        command="overpaint evaluate a",
        versions={"torch": "2"},
        **sections,
    )


def test_means_by_kind_and_what_was_left_out() -> None:
    (model,) = report(("a", results(5))).models
    assert model.scores["overall"]["retrieval"].mean == 5 / 40
    assert model.scores["night"]["retrieval"] == estimate([1.0] * 5 + [0.0] * 15)
    assert model.scores["swap"]["retrieval"].mean == 0.0
    assert [one.key for one in model.left_out] == ["key x"]
    assert len(model.cases.key) == 40
    assert "clip_image" not in model.cases.scores


def test_json_goes_round_and_has_a_schema_of_every_field(tmp_path: Path) -> None:
    made = report(("a", results(5)), ("b", results(9)))
    write_report(made, tmp_path)
    assert read_report(tmp_path) == read_report(tmp_path / "report.json") == made
    schema = json.loads((tmp_path / "report.schema.json").read_text())
    written = json.loads((tmp_path / "report.json").read_text())
    assert set(written) == set(schema["properties"])
    assert schema["properties"]["format"]["const"] == written["format"] == "overpaint-report/1"
    assert schema["additionalProperties"] is False


def test_what_is_no_report_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"format": "overpaint-report/9"}')
    for path, words in (("a.json", "no report of"), ("b.json", "cannot read")):
        with pytest.raises(UserError, match=words):
            read_report(tmp_path / path)


def test_nothing_evaluated_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"not one of 1 cases .* no picture"):
        model_report("a", "a", None, {}, results(0)[-1:])


def test_the_better_model_is_named_with_the_kinds_on_which_it_is() -> None:
    made = report(("weak", results(1)), ("strong", results(18)))
    (comparison,) = made.comparisons
    found = verdict(comparison, "retrieval")
    assert (found.better, found.worse, found.unclear) == (["night"], [], ["swap"])
    assert comparison.differences["night"]["retrieval"].mean == pytest.approx(17 / 20)
    said = in_words(comparison, made.headline)
    assert said.startswith("strong is better than weak by target retrieval@1 on 40 cases")
    assert "strong is clearly better on night" in said
    back = in_words(
        report(("strong", results(18)), ("weak", results(1))).comparisons[0], "retrieval"
    )
    assert back.startswith("strong is better than weak")
    same = in_words(report(("a", results(9)), ("b", results(9))).comparisons[0], "retrieval")
    assert "cannot be told apart" in same


def test_two_reports_are_compared_over_the_cases_they_share() -> None:
    a, b = report(("m", results(1))), report(("m", results(18)[:30]))
    merged = merge_reports(a, b)
    assert [model.label for model in merged.models] == ["m (1)", "m (2)"]
    assert merged.comparisons[0].differences["overall"]["l2"].count == 30
    other = report(("m", [CaseResult(0, "another", "x", "y", {"l2": 1.0})]))
    with pytest.raises(UserError, match="no case in common"):
        merge_reports(a, other)


def full_page() -> str:
    evil = "<script>alert(1)</script> & “night”"
    scores = {"clip_image": estimate([0.7, 0.8]), "clip_direction": estimate([0.2, 0.1])}
    points = [CurvePoint(guidance_scale=2, image_guidance_scale=i, scores=scores) for i in (1, 2)]
    made = report(
        ("a", results(5, evil=evil)),
        ("b", results(9)),
        curves={"a": points},
        drift={"a": Drift(scenes=2, untouched_psnr=[estimate([30.0, 31.0]), None])},
    )
    shown = ShownCase(evil, "night", DOT, DOT, DOT, "right")
    grid = Gallery(title="grid", text=evil, columns=2, heads=["1", "2"], rows=["x"],
                   shots=[Shot(picture=DOT, caption=evil)] * 2)  # fmt: skip
    return render_page(made, Pictures({"a": {"The best": [shown]}}, {"a": [grid]}))


def test_the_page_is_one_file_that_asks_for_nothing() -> None:
    page = full_page()
    for address in re.findall(r"""(?:src|href|action)\s*=\s*["']([^"']*)""", page):
        assert address.startswith(("data:", "#"))
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_words_of_the_data_are_no_html() -> None:
    page = full_page()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 3


def test_the_page_has_every_section_and_well_formed_plots() -> None:
    page = full_page()
    for section in ("kinds", "comparison", "curve", "cases", "galleries", "left-out", "how"):
        assert f'id="{section}"' in page
    plots = re.findall(r'<svg class="plot".*?</svg>', page, re.S)
    assert len(plots) == 4
    for plot in plots:
        ElementTree.fromstring(plot)
    assert "row 40 holds no picture." in page
    assert "DINO similarity was left out" in page


def test_the_summary_says_the_result_in_words() -> None:
    assert summary(report(("a", results(5))))[0].startswith("a gets 12.5 % of 40 edits right")
    assert show_value(0.00512, "") == "0.0051"
    assert show_value(23.456, "dB") == "23.5 dB"


def test_plots_place_values_where_they_belong() -> None:
    plot = dot_plot({"x": [Dot(0.0)], "y": [Dot(1.0, 0.5, 1.0)]}, ["m"], title="t",
                    show=str, axis=(0.0, 1.0))  # fmt: skip
    root = ElementTree.fromstring(plot)
    dots = [float(mark.get("cx", 0)) for mark in root.iter("circle")]
    lines = [line for line in root.iter("line") if "whisker" in line.get("class", "")]
    assert dots[0] < dots[1]
    assert float(lines[0].get("x1", 0)) == pytest.approx(sum(dots) / 2)
    assert float(lines[0].get("x2", 0)) == pytest.approx(dots[1])
    curve = curve_plot({"m": [Point(1, 1), Point(2, 3)]}, title="t", x_title="x", y_title="y")
    marks = [(float(c.get("cx", 0)), float(c.get("cy", 0)))
             for c in ElementTree.fromstring(curve).iter("circle")]  # fmt: skip
    assert marks[0][0] < marks[1][0]
    assert marks[0][1] > marks[1][1]  # SVG counts downwards


def test_an_estimate_of_one_case_has_no_interval() -> None:
    made = report(("a", [CaseResult(0, "k", "x", "y", {"l2": 0.5})]))
    assert made.models[0].scores["overall"]["l2"] == Estimate(
        mean=0.5, low=None, high=None, count=1
    )
    assert "0.500" in render_page(made, Pictures())
