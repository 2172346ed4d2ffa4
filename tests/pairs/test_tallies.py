"""Counts of what became of rows and candidates."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from overpaint.pairs.choice import Scores
from overpaint.pairs.requests import Candidate, Request
from overpaint.pairs.settings import PairsSettings, Thresholds
from overpaint.pairs.tallies import (
    BINS,
    NO_DIRECTION,
    NONE_PASSES,
    Outcome,
    Tally,
    add,
    bin_of,
    control,
    count,
)

SETTINGS = PairsSettings(thresholds=Thresholds())
PICTURE = np.zeros((8, 8, 3), dtype=np.uint8)
GOOD, FAR, BAD = Scores(0.3, 0.3, 0.9, 0.4), Scores(0.3, 0.3, 0.1, 0.5), Scores(0, 0, 0, 0)


def candidate(scale: float | None = None, share: float | None = None) -> Candidate:
    return Candidate(PICTURE, PICTURE, 1, scale, share, 7.5, 40)


def outcome(scores: list[Scores], kept: list[int], kind: str | None = "style") -> Outcome:
    request = Request("before", "do", "after", kind, 1)
    drawn = [candidate(scale=0.2 + 0.1 * n) for n in range(len(scores))]
    return Outcome(request, drawn, scores, kept)


def test_every_row_and_candidate_is_counted_once() -> None:
    tally = count([outcome([GOOD, GOOD, FAR], [0]), outcome([BAD], [], kind=None)], SETTINGS)
    assert tally.rows == {"kept": 1, NONE_PASSES: 1}
    assert (tally.candidates, tally.accepted) == (4, 1)
    assert tally.kinds["style"] == {"rows": 1, "rows_kept": 1, "accepted": 1}
    assert tally.kinds["unknown"] == {"rows": 1, "rows_kept": 0, "accepted": 0}
    assert tally.rejected == {
        "passes, but better ones are kept": 1,
        "clip_image": 2,
        "clip_edited": 1,
        "clip_direction": 1,
    }
    assert tally.controls["0.2"] == {"candidates": 2, "passed": 1, "accepted": 1}
    assert tally.controls["0.3"] == {"candidates": 1, "passed": 1, "accepted": 0}
    for found in tally.histograms.values():
        assert sum(found["accepted"].values()) == 1
        assert sum(found["rejected"].values()) == 3


def test_candidates_without_a_direction_are_counted_and_enter_no_distribution() -> None:
    undirected = Scores(0.3, 0.3, 0.9, None)
    tally = count([outcome([GOOD, undirected, undirected], [0])], SETTINGS)
    assert tally.undirected == 2
    assert tally.rejected == {NO_DIRECTION: 2}
    assert sum(sum(bins.values()) for bins in tally.histograms["clip_direction"].values()) == 1
    assert sum(sum(bins.values()) for bins in tally.histograms["clip_image"].values()) == 3
    assert add([tally.to_dict(), tally.to_dict()]).undirected == 4


def test_shards_add_up_to_what_one_would_have_been() -> None:
    rows = [outcome([GOOD, FAR], [0]), outcome([BAD, GOOD], [1], "add"), outcome([FAR], [])]
    whole = count(rows, SETTINGS).to_dict()
    parts = [json.loads(json.dumps(count([row], SETTINGS).to_dict())) for row in rows]
    assert add(parts).to_dict() == whole
    assert add([*parts, {}, {"quarantined": []}]).to_dict() == whole
    assert add([]) == Tally()


@pytest.mark.parametrize(
    ("cosine", "place"),
    [(-1.0, 0), (-1.2, 0), (0.0, 50), (0.019, 50), (0.021, 51), (1.0, BINS - 1)],
)
def test_a_bin_holds_its_lower_end(cosine: float, place: int) -> None:
    assert bin_of(cosine) == place


def test_what_is_no_number_falls_into_the_lowest_bin() -> None:
    assert bin_of(math.nan) == 0


def test_candidates_are_grouped_by_what_steered_them() -> None:
    assert control(candidate(scale=0.15)) == "0.15"
    assert control(candidate(share=0.3)) == "0.3–0.4"
    assert control(candidate(share=1.0)) == "0.9–1.0"
    assert control(candidate()) is None
