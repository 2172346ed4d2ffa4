"""One model over all cases: resumable, independent of batches, and stubborn where cases break."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeEditor, fail, keep
from PIL import Image

from overpaint.artifact import Artifact
from overpaint.errors import UserError
from overpaint.evaluation import case_stage
from overpaint.evaluation.case_stage import CaseStage, ModelGaveNothingError, run_cases
from overpaint.evaluation.cases import Case, CaseSet
from overpaint.evaluation.edits import edit_cases
from overpaint.evaluation.scoring import Scorer
from overpaint.evaluation.settings import SamplingSettings
from overpaint.evaluation.sources import scene_cases


def plain_cases(count: int, broken: tuple[int, ...] = ()) -> CaseSet:
    def read(index: int) -> Case:
        if index in broken:
            raise UserError(f"row {index} holds no picture.")
        picture = Image.new("RGB", (8, 8), (index, 0, 0))
        return Case(str(index), f"edit {index}", picture, targets=(np.asarray(picture),))

    return CaseSet("plain", {"data": "plain", "count": count}, count, read)


def run(editor: FakeEditor, cases: CaseSet, folder: Path, seed: int = 0, model: str = "m"):  # type: ignore[no-untyped-def]
    edit = partial(edit_cases, editor, settings=SamplingSettings(seed=seed))  # type: ignore[arg-type]
    open_stage = partial(CaseStage, edit, cases, Scorer())
    origin = {"model": model, "seed": seed}
    return run_cases(open_stage, cases, Artifact(folder, origin, folder / "data"))


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(case_stage, "CASES_PER_SHARD", 4)
    cases = plain_cases(10)

    class Killed(BaseException):
        pass

    calls = 0

    def dies(picture: Image.Image, *_: object) -> Image.Image:
        nonlocal calls
        calls += 1
        if calls > 6:
            raise Killed
        return picture

    with pytest.raises(Killed):
        run(FakeEditor(dies), cases, tmp_path / "a")
    second = FakeEditor(keep)
    results = run(second, cases, tmp_path / "a")
    assert sum(second.calls) == 6  # the first shard's four are there
    whole = run(FakeEditor(keep), cases, tmp_path / "b")
    assert results == whole
    assert [result.index for result in whole] == list(range(10))
    third = FakeEditor(keep)
    assert run(third, cases, tmp_path / "a") == whole
    assert third.calls == []


def test_noise_depends_on_the_case_alone(tmp_path: Path, monkeypatch) -> None:
    seen: dict[str, set[int]] = {}

    def watch(picture: Image.Image, text: str, seed: int, *_: float) -> Image.Image:
        seen.setdefault(text, set()).add(seed)
        return picture

    run(FakeEditor(watch), plain_cases(6), tmp_path / "a")
    monkeypatch.setattr(case_stage, "CASES_PER_SHARD", 2)
    run(FakeEditor(watch), plain_cases(6), tmp_path / "b")
    assert all(len(seeds) == 1 for seeds in seen.values())
    assert len({next(iter(seeds)) for seeds in seen.values()}) == 6


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    run(FakeEditor(keep), plain_cases(3), tmp_path)
    with pytest.raises(UserError, match="seed was 0 and is now 5"):
        run(FakeEditor(keep), plain_cases(3), tmp_path, seed=5)
    with pytest.raises(UserError, match="model was m and is now other"):
        run(FakeEditor(keep), plain_cases(3), tmp_path, model="other")


def test_what_is_broken_is_left_out_and_the_rest_evaluated(tmp_path: Path) -> None:
    def picky(picture: Image.Image, text: str, *_: float) -> Image.Image:
        return fail() if text == "edit 2" else picture

    results = run(FakeEditor(picky), plain_cases(6, broken=(4,)), tmp_path)
    left_out = {result.index: result.left_out for result in results if result.left_out}
    assert left_out == {
        2: "the model's output is not a number (its weights are broken).",
        4: "row 4 holds no picture.",
    }
    assert [r.scores["l1"] for r in results if not r.left_out] == [0.0] * 4
    assert set(case_stage.read_edited(tmp_path, 6, [0, 2, 5])) == {0, 5}


def test_a_model_of_nan_is_given_up_soon(tmp_path: Path) -> None:
    editor = FakeEditor(fail)
    with pytest.raises(ModelGaveNothingError, match="not a number"):
        run(editor, plain_cases(500), tmp_path)
    assert len(editor.calls) < 30


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number_leaves_its_case_out(tmp_path: Path, value: float) -> None:
    class Strange(Scorer):
        def score(self, cases, edited):  # type: ignore[no-untyped-def]
            rows = super().score(cases, edited)
            return [
                row | {"clip_image": value if case.key == "2" else 0.5}
                for case, row in zip(cases, rows, strict=True)
            ]

    cases = plain_cases(4)
    edit = partial(edit_cases, FakeEditor(keep), settings=SamplingSettings())  # type: ignore[arg-type]
    stage = partial(CaseStage, edit, cases, Strange())
    results = run_cases(stage, cases, Artifact(tmp_path, {"model": "m"}, tmp_path / "data"))
    left_out = {result.index: result.left_out for result in results if result.left_out}
    assert list(left_out) == [2]
    assert "CLIP image similarity is not a number" in str(left_out[2])


@pytest.mark.slow
def test_retrieval_of_target_input_and_noise(tmp_path: Path) -> None:
    """The whole path: 1.0 for the exact target, 0.0 for the input, about 1/32 for noise."""
    cases = scene_cases(13, 7)
    targets = {}
    for index in range(13):
        case = cases.read(index)
        targets[case.original.tobytes() + case.instruction.encode()] = case.targets[0]
    rng = np.random.default_rng(0)

    def exact(picture: Image.Image, text: str, *_: float) -> Image.Image:
        return Image.fromarray(targets[picture.tobytes() + text.encode()])

    def noise(*_: object) -> Image.Image:
        return Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))

    def share(rule, name: str) -> float:  # type: ignore[no-untyped-def]
        found = run(FakeEditor(rule), cases, tmp_path / name)
        return float(np.mean([result.scores["retrieval"] for result in found]))

    assert share(exact, "exact") == 1.0
    assert share(keep, "input") == 0.0
    assert share(noise, "noise") < 0.3  # four of 13, where one in 32 is expected


def test_the_seed_is_part_of_a_case_s_noise() -> None:
    case = plain_cases(1).read(0)
    seeds = []

    def watch(picture: Image.Image, text: str, seed: int, *_: float) -> Image.Image:
        seeds.append(seed)
        return picture

    for number in (0, 1):
        edit_cases(FakeEditor(watch), [case, replace(case, key="9")], SamplingSettings(seed=number))  # type: ignore[arg-type]
    assert len(set(seeds)) == 4


def test_cases_left_out_are_tried_again_and_a_fault_in_mid_run_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is gone for a while, or a model that cannot be reached."""
    monkeypatch.setattr(case_stage, "CASES_PER_SHARD", 3)
    cases = plain_cases(12)
    whole = run(FakeEditor(keep), cases, tmp_path / "whole")
    healthy = True
    calls = 0

    def breaks(picture: Image.Image, *_: object) -> Image.Image:
        nonlocal calls
        calls += 1
        return picture if healthy or calls <= 4 else fail()

    healthy = False
    with pytest.raises(UserError, match="every one fails, also what was made before"):
        run(FakeEditor(breaks), cases, tmp_path / "a")
    healthy = True
    assert run(FakeEditor(breaks), cases, tmp_path / "a") == whole
    results = run(FakeEditor(keep), plain_cases(12, broken=(5,)), tmp_path / "b")
    assert [result.index for result in results if result.left_out] == [5]
    assert run(FakeEditor(keep), cases, tmp_path / "b") == whole
