"""A folder of other settings is refused by what differs."""

from __future__ import annotations

from overpaint.records import changes


def test_every_difference_is_named_in_order() -> None:
    assert changes({"b": 1, "a": 2, "c": 3}, {"b": 2, "c": 3, "d": None, "e": 5}) == [
        "a was 2 and is now None",
        "b was 1 and is now 2",
        "e was None and is now 5",
    ]
    assert changes({"a": [1]}, {"a": [1]}) == []


def test_inside_a_mapping_the_key_that_differs_is_named() -> None:
    before, now = {"settings": {"seed": 1, "steps": 2}}, {"settings": {"seed": 1, "steps": 3}}
    assert changes(before, now) == ["steps was 2 and is now 3"]
