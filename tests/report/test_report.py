"""The report: its numbers, its schema, its page, and two of them side by side."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from overpaint.errors import UserError
from overpaint.html.plots import Dot, Point, curve_plot, dot_plot
from overpaint.metrics.definitions import METRIC
from overpaint.metrics.intervals import Estimate, estimate
from overpaint.report.build import make_report, model_report
from overpaint.report.comparison import in_words, merge_reports, show_value, verdict
from overpaint.report.page import (
    Pictures,
    ShownCase,
    ShownEdit,
    against_nothing,
    render_page,
    summary,
)
from overpaint.report.schema import (
    UNEDITED,
    CaseResult,
    Comparison,
    Report,
    read_report,
    write_report,
)
from overpaint.report.sections import CurvePoint, Drift, Findings, Gallery, Shot
from page_check import check_page

DOT = "data:image/png;base64,AAAA"


def results(hits: int, count: int = 40, evil: str = "make it night") -> list[CaseResult]:
    """`night` is hit in the first `hits` cases of twenty, `swap` never; the last is left out."""
    rows = []
    for i in range(count):
        night = i % 2 == 0
        scores = {"retrieval": float(night and i // 2 < hits), "l2": 0.01 * i}
        rows.append(CaseResult(i, f"key {i}", "night" if night else "swap", evil, scores))
    return [*rows, CaseResult(count, "key x", "night", evil, {}, "row 40 holds no picture.")]


def report(*models: tuple[str, list[CaseResult]], **more: Any) -> Report:
    return make_report(
        title="40 scenes",
        data={"data": "scenes", "count": 40},
        models=[model_report(name, name, None, {"seed": 0}, rows) for name, rows in models],
        notes=["DINO similarity was left out: no DINO was given."],
        command="overpaint evaluate a",
        versions={"torch": "2"},
        **more,
    )


def test_means_by_kind_and_what_was_left_out() -> None:
    (model,) = report(("a", results(5))).models
    assert model.scores["overall"]["retrieval"].mean == 5 / 40
    assert model.scores["night"]["retrieval"] == estimate([1.0] * 5 + [0.0] * 15, share=True)
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


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"future": [0.5] * 40}, "knows no metric future"),
        ({"retrieval": [1.0] * 39}, "not equally long"),
        ({"l1": []}, "not equally long"),
    ],
)
def test_columns_that_cannot_be_compared_are_one_sentence(
    column: dict[str, list[float]], words: str, tmp_path: Path
) -> None:
    """Of a later version's report, or one that somebody edited."""
    write_report(report(("a", results(5))), tmp_path)
    written = json.loads((tmp_path / "report.json").read_text())
    written["models"][0]["cases"]["scores"] |= column
    (tmp_path / "report.json").write_text(json.dumps(written))
    with pytest.raises(UserError, match=words):
        read_report(tmp_path)


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
    assert said.startswith(
        "strong is better than weak by target retrieval@1 (higher is better) on 40 cases"
    )
    assert "strong is clearly better on night" in said
    back = in_words(
        report(("strong", results(18)), ("weak", results(1))).comparisons[0], "retrieval"
    )
    assert back.startswith("strong is better than weak")
    same = in_words(report(("a", results(9)), ("b", results(9))).comparisons[0], "retrieval")
    assert "cannot be told apart" in same


def test_a_kind_is_better_only_after_correction_over_the_kinds() -> None:
    """Six wins of six have p = 0.03: clear as the only question, not as one of thirteen."""

    def rows(wins: int) -> list[CaseResult]:
        return [
            CaseResult(
                i, f"{kind} {i}", f"kind {kind}", "x", {"retrieval": float(kind == 0 and i < wins)}
            )
            for kind in range(13)
            for i in range(12)
        ]

    few = make_comparison(rows(0), rows(6))
    found = few.differences["kind 0"]["retrieval"]
    assert found.p == pytest.approx(2 / 64)
    assert found.p_corrected == pytest.approx(13 * 2 / 64)
    assert verdict(few, "retrieval").better == []
    assert few.differences["overall"]["retrieval"].p_corrected is None
    assert few.differences["overall"]["retrieval"].is_clear
    many = make_comparison(rows(0), rows(12))
    assert verdict(many, "retrieval").better == ["kind 0"]
    assert len(verdict(many, "retrieval").unclear) == 12


def make_comparison(a: list[CaseResult], b: list[CaseResult]) -> Comparison:
    return report(("a", a), ("b", b)).comparisons[0]


@pytest.mark.parametrize("worse", [True, False])
def test_a_model_is_told_apart_from_doing_nothing_in_words(worse: bool) -> None:
    """One that wins against another but loses against the unedited picture is not praised."""

    def rows(distance: float) -> list[CaseResult]:
        return [CaseResult(i, f"{i}", "all", "x", {"l2": distance + 0.001 * i}) for i in range(20)]

    made = report(
        ("bad", rows(0.5)),
        ("less bad", rows(0.4)),
        unedited=model_report(UNEDITED, UNEDITED, None, {}, rows(0.1 if worse else 0.9)),
    )
    assert [(one.a, one.b) for one in made.against_unedited] == [
        (UNEDITED, "bad"), (UNEDITED, "less bad")]  # fmt: skip
    said = summary(made)
    word = "worse" if worse else "better"
    for label in ("bad", "less bad"):
        assert any(s.startswith(f"{label} is {word} than returning the input") for s in said)
    assert any("lower is better" in sentence for sentence in said)
    page = render_page(made, Pictures())
    assert 'id="nothing"' in page
    assert f"<td>{UNEDITED}</td>" in page
    assert Report.model_validate_json(made.model_dump_json()) == made


def test_a_metric_by_which_a_model_is_worse_than_nothing_is_named() -> None:
    """Right more often, but further from the target: both are said. Keeping is not held against it."""

    def rows(right: float, distance: float, kept: float) -> list[CaseResult]:
        scores = {"retrieval": right, "l2": distance, "clip_image": kept}
        return [CaseResult(i, f"{i}", "all", "x", dict(scores)) for i in range(20)]

    nothing = model_report(UNEDITED, UNEDITED, None, {}, rows(0.0, 0.1, 1.0))
    said = against_nothing(report(("m", rows(1.0, 0.3, 0.8)), unedited=nothing))
    assert len(said) == 1
    assert "m is better than returning the input" in said[0]
    assert said[0].endswith("by L2 to the target it is worse than returning the input.")


def test_metrics_of_one_report_alone_are_named_and_the_headline_is_shared() -> None:
    rows = [
        CaseResult(i, f"{i}", "all", "x", {"l2": 0.1 * i, "clip_direction": 0.2}) for i in range(9)
    ]
    bare = [CaseResult(i, f"{i}", "all", "x", {"l2": 0.2 * i, "l1": 0.3}) for i in range(9)]
    merged = merge_reports(report(("a", rows)), report(("b", bare)))
    assert merged.headline == "l2"
    (comparison,) = merged.comparisons
    assert (comparison.only_a, comparison.only_b) == (["clip_direction"], ["l1"])
    said = [note for note in merged.notes if note.startswith("Only in")]
    assert said == ["Only in a, so not compared: CLIP directional similarity.",
                    "Only in b, so not compared: L1 to the target."]  # fmt: skip
    assert "Only in b, so not compared" in render_page(merged, Pictures())


def test_cases_without_a_score_are_counted_and_pull_no_mean() -> None:
    rows = [CaseResult(i, f"{i}", "all", "x", {"l2": 0.1, "clip_direction": 0.4 if i else None})
            for i in range(5)]  # fmt: skip
    made = report(("m", rows))
    assert made.models[0].undefined == {"clip_direction": 1}
    assert made.models[0].scores["overall"]["clip_direction"].mean == pytest.approx(0.4)
    assert "is not defined on 1 of 5 cases of m" in render_page(made, Pictures())


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (None, "It is not known which pairs m was trained on."),
        ([], "None of the 41 cases was among the pairs that m was trained on."),
        (["key 1", "key 2"], "2 of the 41 cases were among the pairs that m was trained on"),
    ],
)
def test_the_report_says_what_the_model_has_seen_in_training(
    seen: list[str] | None, words: str
) -> None:
    made = report(("m", results(3)))
    made.models[0].trained_on = seen
    assert words in render_page(made, Pictures())
    assert any(words in sentence for sentence in summary(made)) == bool(seen)


def test_every_figure_of_the_page_says_which_way_is_better() -> None:
    page = full_page()
    for title, arrow in (("target retrieval@1", "↑"), ("L2 to the target", "↓")):
        heads = re.findall(rf"<th[^>]*>{title}&nbsp;(.*?)</th>", page)
        assert len(heads) >= 2
        assert all(arrow in head for head in heads)
        cells = re.findall(rf'<td class="words">{title}&nbsp;(.*?)</td>', page)
        assert cells
        assert all(arrow in cell for cell in cells)
    assert "↑ higher is better, ↓ lower is better" in page
    plots = re.findall(r'<svg class="plot".*?</svg>', page, re.S)
    assert "better" in plots[0]
    assert "the dashed line b is better" in page
    assert "similarity ↑" in plots[2]


def test_two_reports_are_merged_with_their_baselines() -> None:
    def made(start: int, distance: float) -> Report:
        rows = [
            CaseResult(i, f"{i}", "all", "x", {"l2": distance}) for i in range(start, start + 20)
        ]
        nothing = [replace(row, scores={"l2": 0.5}) for row in rows]
        return report(("m", rows), unedited=model_report(UNEDITED, UNEDITED, None, {}, nothing))

    merged = merge_reports(made(0, 0.1), made(10, 0.2))
    assert merged.unedited is not None
    assert sorted(map(int, merged.unedited.cases.key)) == list(range(30))
    assert [one.differences["overall"]["l2"].count for one in merged.against_unedited] == [20, 20]


def test_comparing_two_files_needs_no_torch(tmp_path: Path) -> None:
    for name, hits in (("a", 3), ("b", 15)):
        write_report(report((name, results(hits))), tmp_path / name)
    code = (
        "import sys; from overpaint.cli import main; "
        f"code = main(['compare', {str(tmp_path / 'a')!r}, {str(tmp_path / 'b')!r}, "
        f"'-o', {str(tmp_path / 'c')!r}]); print('torch' in sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split()[-1] == "False"
    assert "b is better than a" in done.stdout
    assert "*+" in done.stdout


def test_two_reports_are_compared_over_the_cases_they_share() -> None:
    a, b = report(("m", results(1))), report(("m", results(18)[:30]))
    merged = merge_reports(a, b)
    assert [model.label for model in merged.models] == ["m (1)", "m (2)"]
    assert merged.comparisons[0].differences["overall"]["l2"].count == 30
    other = report(("m", [CaseResult(0, "another", "x", "y", {"l2": 1.0})]))
    with pytest.raises(UserError, match="no case in common"):
        merge_reports(a, other)


def test_cases_of_one_key_are_the_same_only_if_they_ask_the_same() -> None:
    def rows(*asked: str) -> list[CaseResult]:
        return [CaseResult(i, "0", "all", text, {"l2": float(i)}) for i, text in enumerate(asked)]

    merged = merge_reports(report(("a", rows("x", "y"))), report(("b", rows("z", "y"))))
    assert merged.comparisons[0].differences["overall"]["l2"].count == 1
    with pytest.raises(UserError, match="no case in common"):
        merge_reports(report(("a", rows("x"))), report(("b", rows("y"))))


def test_cases_of_one_key_are_compared_each_with_its_own() -> None:
    rows = [CaseResult(i, "0", "all", "x", {"l2": float(i)}) for i in range(5)]
    difference = report(("a", rows), ("b", rows)).comparisons[0].differences["overall"]["l2"]
    assert (difference.count, difference.ties, difference.mean) == (5, 5, 0.0)


def full_page() -> str:
    evil = "<script>alert(1)</script> & “night”"
    scores = {"clip_image": estimate([0.7, 0.8]), "clip_direction": estimate([0.2, 0.1])}
    points = [CurvePoint(guidance_scale=2, image_guidance_scale=i, scores=scores) for i in (1, 2)]
    made = report(
        ("a", results(5, evil=evil)),
        ("b", results(9, evil=evil)),
        findings={
            "a": Findings(
                curve=points,
                drift=Drift(scenes=2, untouched_psnr=[estimate([30.0, 31.0]), None]),
            )
        },
    )
    answers = {label: ShownEdit(DOT, ["right", f"{label} {evil}"]) for label in "ab"}
    shown = ShownCase(evil, "night", DOT, answers, DOT)
    grid = Gallery(title="grid", text=evil, columns=2, heads=["1", "2"], rows=["x"],
                   shots=[Shot(picture=DOT, caption=evil)] * 2)  # fmt: skip
    return render_page(made, Pictures({"The best": [shown]}, {"a": [grid]}))


def test_the_page_is_one_file_that_asks_for_nothing() -> None:
    check_page(full_page())


def test_a_case_stands_once_with_the_pictures_of_all_models_side_by_side() -> None:
    page = full_page()
    (case,) = re.findall(r'<figure class="case">.*?</div>', page, re.S)
    shown = re.findall(r'<img[^>]* alt="([^"]*)"', case)
    assert shown == ["before", "edited by a", "edited by b", "right answer"]
    assert '<div class="cases" style="--pictures: 4">' in page


def test_a_score_is_never_called_by_a_wrong_article() -> None:
    """Titles begin with any letter ("L2", "CLIP", ...), so no sentence puts "a" before one."""
    for name in ("l1", "l2", "clip_direction", "clip_text", "untouched_psnr"):
        rows = [CaseResult(i, f"{i}", "all", "x", {name: 0.1 * i}) for i in range(4)]
        unedited = model_report(UNEDITED, UNEDITED, None, {}, rows)
        for sentence in summary(report(("m", rows), ("n", rows), unedited=unedited)):
            assert f" a {METRIC[name].title}" not in sentence


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
