"""The page shows each chosen case once, with what every model made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overpaint.evaluation import shown_cases as module
from overpaint.evaluation.cases import Case
from overpaint.evaluation.shown_cases import SHOWN, shown_cases
from overpaint.html.rendering import data_address
from overpaint.report.schema import CaseResult


class Cases:
    """Case i: a picture of grey i, towards one of grey i + 100."""

    def __init__(self, count: int, targets: bool = True) -> None:
        self.count, self.targets = count, targets

    def read(self, index: int) -> Case:
        targets = (np.asarray(grey(index + 100)),) if self.targets else ()
        return Case(str(index), f"edit {index}", grey(index), targets=targets)


def grey(value: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (value, value, value))


def results(distances: list[float | None]) -> list[CaseResult]:
    return [
        CaseResult(i, str(i), "all", f"edit {i}", {} if d is None else {"l2": d},
                   "broken" if d is None else None)
        for i, d in enumerate(distances)
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture that the model in folder N made of case i is of grey i + 10 N."""

    def read(folder: Path, count: int, chosen: list[int]) -> dict[int, Image.Image]:
        return {index: grey(index + 10 * int(folder.name)) for index in chosen}

    monkeypatch.setattr(module, "read_edited", read)


def asked(groups: dict[str, list[module.ShownCase]]) -> dict[str, list[int]]:
    return {
        name: [int(one.instruction.removeprefix("edit ")) for one in group]
        for name, group in groups.items()
    }


def test_one_model_s_cases_are_ranked_by_its_own_scores() -> None:
    distances: list[float | None] = [0.01 * i for i in reversed(range(30))]
    groups = shown_cases(Cases(30), {"m": (results(distances), Path("1"))})  # type: ignore[arg-type]
    assert list(groups) == ["The best", "The middle", "The worst"]
    found = asked(groups)
    assert found["The best"] == list(range(29, 29 - SHOWN, -1))
    assert found["The worst"] == list(range(SHOWN - 1, -1, -1))


def test_every_model_s_own_picture_and_scores_stand_at_a_case() -> None:
    first, second = results([0.1, 0.2]), results([0.3, 0.4])
    groups = shown_cases(Cases(2), {"a": (first, Path("1")), "b": (second, Path("2"))})  # type: ignore[arg-type]
    assert list(groups) == ["The best"]  # of two cases none is the worst
    for index, shown in enumerate(groups["The best"]):
        assert shown.before == data_address(grey(index))
        assert shown.target == data_address(grey(index + 100))
        assert [answer.picture for answer in shown.edits.values()] == [
            data_address(grey(index + 10)), data_address(grey(index + 20))]  # fmt: skip
        said = [answer.scores for answer in shown.edits.values()]
        assert said == [
            [f"L2 to the target ↓ {distance:.3f}"] for distance in (0.1 + 0.1 * index, 0.3 + 0.1 * index)
        ]  # fmt: skip


def test_where_models_differ_is_shown_and_a_case_that_one_left_out_is_not() -> None:
    count = 3 * SHOWN
    a: list[float | None] = [0.01 * i for i in range(count)]
    b: list[float | None] = [0.01 * i for i in range(count)]
    b[1], b[16] = 9.0, 0.0  # the second best of a is b's worst, and one of the worst its best
    a[4] = None
    groups = asked(
        shown_cases(Cases(count), {"a": (results(a), Path("1")), "b": (results(b), Path("2"))})  # type: ignore[arg-type]
    )
    assert set(groups["Where the models differ most"][:2]) == {1, 16}
    assert 4 not in {index for group in groups.values() for index in group}


def test_cases_without_a_target_say_other_scores() -> None:
    rows = [CaseResult(0, "0", "all", "edit 0", {"clip_direction": 0.2, "clip_image": 0.9})]
    (shown,) = shown_cases(Cases(1, targets=False), {"m": (rows, Path("1"))})["The best"]  # type: ignore[arg-type]
    assert shown.target is None
    assert [words[:9] for words in shown.edits["m"].scores] == ["CLIP dire", "CLIP imag"]


def test_no_case_that_all_have_is_no_group() -> None:
    found = {"a": (results([None]), Path("1")), "b": (results([0.1]), Path("2"))}
    assert shown_cases(Cases(1), found) == {}  # type: ignore[arg-type]
