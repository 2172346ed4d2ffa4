"""Counts of what became of rows and candidates."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from overpaint.pairs.candidates import NONE_PASSES, Candidate, CandidateSpec, ScoredRow
from overpaint.pairs.scores import SCORES, Scores
from overpaint.pairs.settings import PairsSettings, Thresholds
from overpaint.pairs.statistics import BINS, NO_DIRECTION, PairStatistics, add, bin_of, count
from overpaint.rows import Triplet

SETTINGS = PairsSettings(thresholds=Thresholds())
PICTURE = np.zeros((8, 8, 3), dtype=np.uint8)


def four(*values: float | None) -> Scores:
    return dict(zip(SCORES, values, strict=True))


GOOD, FAR, BAD = four(0.3, 0.3, 0.9, 0.4), four(0.3, 0.3, 0.1, 0.5), four(0, 0, 0, 0)


def spec(scale: float | None = None, share: float | None = None) -> CandidateSpec:
    return CandidateSpec(0, 1, 7.5, scale, share)


def row(scores: list[Scores], kept: list[int], kind: str | None = "style") -> ScoredRow:
    triplet = Triplet(original_prompt="before", edit_prompt="do", edited_prompt="after", kind=kind)
    drawn = [Candidate(spec(0.2 + 0.1 * n), PICTURE, PICTURE) for n in range(len(scores))]
    return ScoredRow(triplet, drawn, scores, kept)


def test_every_row_and_candidate_is_counted_once() -> None:
    tally = count([row([GOOD, GOOD, FAR], [0]), row([BAD], [], kind=None)], SETTINGS)
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
    undirected = four(0.3, 0.3, 0.9, None)
    tally = count([row([GOOD, undirected, undirected], [0])], SETTINGS)
    assert tally.undirected == 2
    assert tally.rejected == {NO_DIRECTION: 2}
    assert sum(sum(bins.values()) for bins in tally.histograms["clip_direction"].values()) == 1
    assert sum(sum(bins.values()) for bins in tally.histograms["clip_image"].values()) == 3
    assert add([tally.to_dict(), tally.to_dict()]).undirected == 4


def test_shards_add_up_to_what_one_would_have_been() -> None:
    rows = [row([GOOD, FAR], [0]), row([BAD, GOOD], [1], "add"), row([FAR], [])]
    whole = count(rows, SETTINGS).to_dict()
    parts = [json.loads(json.dumps(count([one], SETTINGS).to_dict())) for one in rows]
    assert add(parts).to_dict() == whole
    assert add([*parts, {}, {"quarantined": []}]).to_dict() == whole
    assert add([]) == PairStatistics()


@pytest.mark.parametrize(
    ("cosine", "place"),
    [(-1.0, 0), (-1.2, 0), (0.0, 50), (0.019, 50), (0.021, 51), (1.0, BINS - 1)],
)
def test_a_bin_holds_its_lower_end(cosine: float, place: int) -> None:
    assert bin_of(cosine) == place


def test_what_is_no_number_falls_into_the_lowest_bin() -> None:
    assert bin_of(math.nan) == 0


def test_candidates_are_grouped_by_what_steered_them() -> None:
    assert spec(scale=0.15).control == "0.15"
    assert spec(share=0.3).control == "0.3–0.4"
    assert spec(share=1.0).control == "0.9–1.0"
    assert spec().control is None
