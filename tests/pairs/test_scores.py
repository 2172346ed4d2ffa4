"""Which candidates pass and which are kept."""

from __future__ import annotations

import math

import pytest

from overpaint.pairs.scores import SCORES, Scores, Thresholds, choose, failures, is_below
from overpaint.rows import PAIR_COLUMNS, pair_features

MISSION = Thresholds()


def four(*values: float) -> Scores:
    return dict(zip(SCORES, values, strict=True))


def scores(direction: float, image: float = 0.9, edited: float = 0.3) -> Scores:
    return four(0.1, edited, image, direction)


def test_the_defaults_are_the_mission_s() -> None:
    assert MISSION.model_dump() == {
        "clip_original": None,
        "clip_edited": 0.2,
        "clip_image": 0.65,
        "clip_direction": 0.15,
    }


def test_a_threshold_itself_is_enough() -> None:
    assert failures(four(-1.0, 0.2, 0.65, 0.15), MISSION) == []


def test_every_score_that_is_too_low_is_named() -> None:
    paper = Thresholds(clip_original=0.2, clip_edited=0.2, clip_image=0.7, clip_direction=0.2)
    assert failures(four(0.1, 0.1, 0.1, 0.1), paper) == list(SCORES)
    assert failures(four(0.3, 0.3, 0.69, 0.3), paper) == ["clip_image"]


def test_a_score_that_is_no_number_never_passes() -> None:
    assert failures(scores(math.nan), MISSION) == ["clip_direction"]
    assert is_below(math.nan, -1.0)


def test_without_thresholds_everything_passes() -> None:
    none = Thresholds(clip_original=None, clip_edited=None, clip_image=None, clip_direction=None)
    assert failures(four(-1, -1, -1, -1), none) == []
    assert not is_below(-1.0, None)


def test_of_those_that_pass_the_highest_direction_is_kept() -> None:
    found = [scores(0.2), scores(0.5, image=0.1), scores(0.4), scores(0.1)]
    assert choose(found, MISSION, keep=1) == [2]
    assert choose(found, MISSION, keep=4) == [2, 0]


def test_of_equal_candidates_the_earlier_is_kept() -> None:
    assert choose([scores(0.1), scores(0.3), scores(0.3)], MISSION, keep=1) == [1]


@pytest.mark.parametrize("keep", [1, 3])
def test_nothing_passes_nothing_is_kept(keep: int) -> None:
    assert choose([scores(0.1), scores(0.0)], MISSION, keep) == []


def test_every_score_has_its_column() -> None:
    assert set(SCORES) <= set(PAIR_COLUMNS)
    assert all(pair_features()[name].dtype == "float64" for name in SCORES)
