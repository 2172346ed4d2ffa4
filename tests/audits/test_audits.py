"""The curve, the galleries and the bias audit, on editors whose behaviour is known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeEditor, fail, keep
from PIL import Image

from overpaint.audits import bias, galleries
from overpaint.audits.bias import Person, draw_person, nearest_person
from overpaint.audits.curve import trade_off
from overpaint.audits.galleries import TURNS, sample_sequel
from overpaint.audits.registry import AUDITS, audits_of
from overpaint.errors import UserError
from overpaint.evaluation.audit import AuditContext
from overpaint.evaluation.cache import cached_result
from overpaint.evaluation.cases import Case, CaseSet
from overpaint.evaluation.scoring import Scorer
from overpaint.evaluation.settings import EvaluateSettings, SamplingSettings
from overpaint.metrics.intervals import Estimate
from overpaint.report.build import make_report, model_report
from overpaint.report.page import Pictures, render_page
from overpaint.report.schema import CaseResult
from overpaint.report.sections import CurvePoint, Findings

SETTINGS = EvaluateSettings()  # audits are given the whole block, and take the sampler's part
NO_CASES = CaseSet("none", {}, 0, lambda _: pytest.fail("no case is to be read"))


def context(
    editor: FakeEditor,
    folder: Path,
    sampling: SamplingSettings = SETTINGS,
    origin: dict[str, object] | None = None,
    cases: CaseSet = NO_CASES,
) -> AuditContext:
    """What an audit is given, with a judge that has no networks."""

    def unexpected(sentence: str) -> None:
        pytest.fail(sentence)

    return AuditContext(
        editor, cases, Scorer(), sampling, folder, origin or {}, unexpected  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_curve_of_an_editor_that_keeps_more_at_larger_scales(tmp_path: Path) -> None:
    """An editor that blends towards its input is further from the target the more it keeps."""
    white, black = Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8))
    cases = [Case(str(i), "make it white", black, targets=(np.asarray(white),)) for i in range(3)]

    def blend(picture: Image.Image, text: str, seed: int, s_t: float, s_i: float) -> Image.Image:
        return Image.blend(white, picture, min(1.0, (s_i - 1) / s_t))

    editor = FakeEditor(blend)
    make = lambda: trade_off(  # noqa: E731
        context(editor, tmp_path, origin={"model": "fake"}), cases,
        image_scales=(1.0, 1.5, 2.0), text_scales=(2.0, 4.0),
    )  # fmt: skip
    points = make()
    scales = [(p.guidance_scale, p.image_guidance_scale) for p in points]
    assert scales == [(t, i) for t in (2.0, 4.0) for i in (1.0, 1.5, 2.0)]
    errors = [point.scores["l1"].mean for point in points]
    assert errors[0] == errors[3] == 0
    assert errors == [*sorted(errors[:3]), *sorted(errors[3:])]
    assert errors[2] > errors[5]
    calls = len(editor.calls)
    assert make() == points
    assert len(editor.calls) == calls  # remembered


def test_each_point_of_the_curve_is_of_its_own_scales_and_cases(tmp_path: Path) -> None:
    """Every figure is worked out by hand from s_T, s_I and the cases that were given."""
    black = Image.new("RGB", (8, 8))

    def shade(picture: Image.Image, text: str, seed: int, s_t: float, s_i: float) -> Image.Image:
        value = int(text) + round(10 * s_t + s_i)
        return Image.new("RGB", (8, 8), (value, value, value))

    def cases(*starts: int) -> list[Case]:
        return [Case(str(s), str(s), black, targets=(np.asarray(black),)) for s in starts]

    def curve(starts: tuple[int, ...], settings: SamplingSettings, texts: tuple[float, ...]):  # type: ignore[no-untyped-def]
        return trade_off(
            context(FakeEditor(shade), tmp_path, settings), cases(*starts),
            image_scales=(0.0, 3.0), text_scales=texts,
        )  # fmt: skip

    for starts in ((10, 20), (40, 60), (10, 60)):  # one folder: each curve is of its own cases
        for texts in ((0.0,), (2.0, 5.0), ()):
            for own in (None, 0.0, 4.0):
                points = curve(starts, SamplingSettings(guidance_scale=own), texts)
                asked = texts or ((2.0,) if own is None else (own,))
                scales = [(p.guidance_scale, p.image_guidance_scale) for p in points]
                assert scales == [(t, i) for t in asked for i in (0.0, 3.0)]
                for point, (s_t, s_i) in zip(points, scales, strict=True):
                    mean = (sum(starts) / 2 + 10 * s_t + s_i) / 255
                    assert point.scores["l1"].mean == pytest.approx(mean)
                    assert point.scores["l1"].count == 2


def test_a_curve_at_no_text_guidance_is_drawn_at_zero() -> None:
    found = Estimate(mean=0.5, low=None, high=None, count=1)
    scores = {"clip_image": found, "clip_direction": found}
    points = [CurvePoint(guidance_scale=0, image_guidance_scale=i, scores=scores) for i in (0, 1)]
    results = [CaseResult(0, "k", "all", "x", {"clip_direction": 0.5, "clip_image": 0.5})]
    made = make_report(title="t", data={}, models=[model_report("m", "m", None, {}, results)],
                       notes=[], command="", versions={}, findings={"m": Findings(curve=points)})  # fmt: skip
    page = render_page(made, Pictures())
    assert "m, s_T 0, s_I 0: 0.5, 0.5" in page
    assert '<td data-value="0.0">0</td><td data-value="1.0">1</td>' in page


def test_what_is_kept_is_of_the_same_question_and_whole(tmp_path: Path) -> None:
    assert cached_result(tmp_path, {"a": 1}, lambda: {"n": 1}) == {"n": 1}
    assert cached_result(tmp_path, {"a": 1}, lambda: {"n": 2}) == {"n": 1}
    assert cached_result(tmp_path, {"a": 2}, lambda: {"n": 3}) == {"n": 3}
    assert cached_result(tmp_path, {"a": 1}, lambda: {"n": 4}) == {"n": 1}
    for path in tmp_path.glob("*/result.json"):
        path.write_text(path.read_text().replace("1", "7").replace("3", "7"))
    assert cached_result(tmp_path, {"a": 1}, lambda: {"n": 5}) == {"n": 5}
    assert cached_result(tmp_path, {"a": 2}, lambda: {"n": 6}) == {"n": 6}


def test_a_sequel_s_untouched_pixels_only_shrink() -> None:
    sequel = sample_sequel(3, "heldout", "small", 64)
    assert len(sequel.instructions) == len(sequel.untouched) == TURNS
    for before, after in zip(sequel.untouched, sequel.untouched[1:], strict=False):
        assert not (after & ~before).any()
    assert sequel.untouched[-1].any()


def test_drift_is_none_where_nothing_changes_and_grows_where_all_does(tmp_path: Path) -> None:
    def darker(picture: Image.Image, *_: object) -> Image.Image:
        return picture.point(lambda value: max(0, value - 8))

    def drift(rule, name: str) -> list[float]:  # type: ignore[no-untyped-def]
        found, gallery = galleries.sequential_edits(
            context(FakeEditor(rule), tmp_path / name, origin={"model": name}), scenes=3
        )
        assert len(gallery.shots) == 2 * (TURNS + 1)
        return [one.mean for one in found.untouched_psnr if one]

    assert drift(keep, "keep") == [60.0] * TURNS
    fading = drift(darker, "darker")
    assert fading == sorted(fading, reverse=True)
    assert fading[0] == pytest.approx(20 * np.log10(255 / 8), abs=0.2)


def test_galleries_have_a_picture_for_every_place() -> None:
    editor, picture = FakeEditor(keep), Image.new("RGB", (600, 400), "red")
    contexts = galleries.contextual_edits(editor, picture, SETTINGS, ["a", "b"])  # type: ignore[arg-type]
    assert [shot.caption for shot in contexts.shots] == ["the picture", "a", "b"]
    noise = galleries.latent_noise(editor, picture, "a", SETTINGS, count=3)  # type: ignore[arg-type]
    assert [shot.caption for shot in noise.shots[1:]] == ["seed 0", "seed 1", "seed 2"]
    grid = galleries.scale_grid(editor, picture, "a", SETTINGS)  # type: ignore[arg-type]
    assert len(grid.shots) == len(grid.rows) * len(grid.heads) == 16
    assert grid.rows[0] == "--image-guidance-scale 1"
    assert all(re.fullmatch(r"--guidance-scale [\d.]+", head) for head in grid.heads)
    assert contexts.shots[0].picture.startswith("data:image/webp;base64,")


def test_every_drawing_of_a_person_is_recognised() -> None:
    """The method's own error is zero: an unblurred drawing is nearest to itself."""
    for gender in bias.GENDERS:
        for tone in bias.TONES:
            for role in ("", "judge", "astronaut"):
                person = Person(gender, tone, role, "blue")
                found = nearest_person(draw_person(person, 64), "blue")
                assert (found.gender, found.tone) == (gender, tone)


@pytest.mark.parametrize("attribute", ["gender", "tone"])
def test_every_group_of_the_audit_has_the_same_instructions(attribute: str) -> None:
    """Roles and controls are crossed with every person, so no group is asked anything of its own."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for person, words, kind in bias.drawn_edits():
        other = person.tone if attribute == "gender" else person.gender
        groups.setdefault(getattr(person, attribute), []).append(
            (words, kind, person.ground, other)
        )
    first, *others = map(sorted, groups.values())
    assert others
    assert all(other == first for other in others)
    assert len(set(first)) == len(first)
    asked = {words for words, kind, *_ in first if kind == "role"}
    assert len(asked) == len(bias.ROLES)
    assert all(any(words.endswith(role) for words in asked) for role in bias.ROLES)


def test_the_audit_asks_what_it_says_it_asks() -> None:
    """An editor that records what it is asked: every person, every role, every control, once."""
    asked: list[tuple[bytes, str]] = []

    def keeps(picture: Image.Image, text: str, *_: object) -> Image.Image:
        asked.append((picture.tobytes(), text))
        return picture

    audit, _ = bias.audit_drawn_people(
        FakeEditor(keeps), SETTINGS, roles=("judge", "cook", "pilot"), grounds=("white",)  # type: ignore[arg-type]
    )  # fmt: skip
    people = {picture for picture, _ in asked}
    texts = {text for _, text in asked}
    assert (len(people), len(texts)) == (10, 3 + len(bias.CONTROL_GROUNDS))
    assert sorted(asked) == sorted((picture, text) for picture in people for text in texts)
    assert audit.edits == len(asked)
    counts = {(r.group, r.instruction): r.changed["tone"].count for r in audit.rows}
    assert {counts[f"tone: {tone}", "role"] for tone in bias.TONES} == {6}
    assert {counts[f"gender: {gender}", "role"] for gender in bias.GENDERS} == {15}


def test_an_editor_that_makes_everyone_a_light_man_is_found_out() -> None:
    def always(picture: Image.Image, text: str, *_: object) -> Image.Image:
        if "background" in text:
            return picture
        return Image.fromarray(draw_person(Person("man", "light", "judge"), 64))

    audit, shots = bias.audit_drawn_people(
        FakeEditor(always), SETTINGS, roles=("judge",), grounds=("white",)  # type: ignore[arg-type]
    )  # fmt: skip
    rows = {(row.group, row.instruction): row.changed for row in audit.rows}
    assert rows["all", "control"]["tone"].count == 10 * len(bias.CONTROL_GROUNDS)
    assert rows["all", "role"]["gender"].mean == pytest.approx(5 / 10)
    assert rows["all", "role"]["tone"].mean == pytest.approx(8 / 10)
    assert rows["all", "control"]["tone"].mean == rows["all", "control"]["gender"].mean == 0.0
    assert rows["gender: man", "role"]["gender"].mean == 0.0
    assert audit.outcomes["tone: dark"] == {"light": 2}
    assert shots
    assert "Drawings are not people" in audit.limits


def test_an_audit_without_pictures_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="edited none"):
        bias.audit_drawn_people(FakeEditor(fail), SETTINGS, roles=("judge",), grounds=("white",))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="holds no pictures"):
        bias.audit_photographs(FakeEditor(keep), None, tmp_path, SETTINGS)  # type: ignore[arg-type]


def origins(**settings: Any) -> dict[str, Any]:
    return {audit.name: audit.origin() for audit in audits_of(EvaluateSettings(**settings))}


def test_settings_of_audits_that_are_not_asked_for_never_show_as_changed(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(picture)
    other = {
        "curve_cases": ("curve", 3),
        "curve_image_scales": ("curve", (1.0,)),
        "curve_text_scales": ("curve", (2.0,)),
        "drift_scenes": ("galleries", 1),
        "picture": ("galleries", str(picture)),
        "instructions": ("galleries", ("a",)),
        "bias_folder": ("bias", str(tmp_path)),
    }
    names = [audit.name for audit in AUDITS]
    asked = {name for name in EvaluateSettings.model_fields if name in names}
    assert {section for section, _ in other.values()} == asked == set(names)
    for name, (section, value) in other.items():
        if name != "bias_folder":  # which asks for the audit by itself
            assert origins(**{name: value}) == {}
        before, now = origins(**{section: True}), origins(**{section: True, name: value})
        assert before.keys() == now.keys() == {section}
        assert before != now, name


@pytest.mark.parametrize("setting", ["picture", "bias_folder"])
def test_pictures_that_an_audit_lacks_are_said_at_once(tmp_path: Path, setting: str) -> None:
    with pytest.raises(UserError, match="nowhere"):
        audits_of(EvaluateSettings(**{setting: str(tmp_path / "nowhere.png")}))


def test_a_folder_asks_for_the_bias_audit_unless_it_is_declined(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert origins(bias_folder=str(tmp_path)).keys() == {"bias"}
    assert origins(bias_folder=str(tmp_path), bias=False) == {}
    assert origins(bias_folder=str(tmp_path / "nowhere"), bias=False) == {}
