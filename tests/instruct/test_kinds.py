"""A set of edits is balanced over its kinds, and an instruction's kind can be told."""

from __future__ import annotations

from collections import Counter

import pytest

from overpaint.instruct.kinds import KINDS, draw_kinds, guess_kind


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        ("turn the dog into a cat", "object"),
        ("make the car red", "attribute"),
        ("change the background to a beach", "background"),
        ("make it a Van Gogh style picture", "style"),
        ("add a hat to the dog", "add"),
        ("remove the car", "remove"),
        ("make it winter", "time"),
        ("turn it into an oil painting", "medium"),
    ],
)
def test_the_kind_of_an_instruction(edit: str, kind: str) -> None:
    assert guess_kind(edit) == kind


def test_no_kind_comes_twice_before_all_have_come() -> None:
    drawn = draw_kinds(dict.fromkeys(KINDS, 1.0), 12, seed=3)
    assert set(drawn[:8]) == set(KINDS)
    assert drawn == draw_kinds(dict.fromkeys(KINDS, 1.0), 12, seed=3)


def test_kinds_come_by_their_weight() -> None:
    mix = {"add": 3.0, "remove": 1.0, "style": 0.0}
    counts = Counter(draw_kinds(mix, 1, seed)[0] for seed in range(400))
    assert counts["style"] == 0
    assert 250 < counts["add"] < 350
