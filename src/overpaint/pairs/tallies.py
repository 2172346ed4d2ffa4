"""What became of rows and candidates, counted: JSON values of one shard, added up over all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import floor
from typing import TYPE_CHECKING, Any

from overpaint.pairs.choice import Scores, failures
from overpaint.pairs.requests import Candidate, Request

if TYPE_CHECKING:
    import numpy as np

    from overpaint.pairs.settings import PairsSettings

BINS = 100  # of a histogram over [-1, 1]
SHOWN_CANDIDATES = 6  # of a row on the page

# What becomes of a row.
KEPT = "kept"
SOURCE_FAILS = "the source is unlike its caption"
NONE_PASSES = "no candidate passes"
# Why a candidate is not kept, besides the names of the scores that fail.
OTHERS_BETTER = "passes, but better ones are kept"
NO_DIRECTION = "no direction: the captions are equal"

UNKNOWN = "unknown"  # a kind that the triplets do not say


@dataclass(frozen=True)
class Outcome:
    """One row: its candidates with their scores, and the places of those that are kept, best first.

    Where the row was ended by its source, `candidates` is empty, and `source` is the picture with
    its `clip_original`.
    """

    request: Request
    candidates: Sequence[Candidate] = ()
    scores: Sequence[Scores] = ()
    kept: Sequence[int] = ()
    source: np.ndarray | None = None
    clip_original: float | None = None

    @property
    def word(self) -> str:
        """What became of the row."""
        if self.source is not None:
            return SOURCE_FAILS
        return KEPT if self.kept else NONE_PASSES


@dataclass
class Tally:
    """Counts over some rows; `to_dict` gives JSON values."""

    rows: dict[str, int] = field(default_factory=dict)
    """outcome → rows"""
    candidates: int = 0
    accepted: int = 0
    undirected: int = 0
    """candidates without a directional similarity: their captions are equal"""
    rejected: dict[str, int] = field(default_factory=dict)
    """reason → candidates; one that fails by several scores counts for each"""
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    """kind of edit → rows, rows_kept, accepted"""
    controls: dict[str, dict[str, int]] = field(default_factory=dict)
    """conditioning scale, or tenth of the attention fraction → candidates, passed, accepted"""
    histograms: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """score → accepted or rejected → bin of [-1, 1] → candidates"""
    shown: list[dict[str, Any]] = field(default_factory=list)
    """a few rows with small pictures, for the page"""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return dict(vars(self))


def count(outcomes: Iterable[Outcome], settings: PairsSettings) -> Tally:
    """The counts of some rows."""
    tally = Tally()
    for outcome in outcomes:
        _bump(tally.rows, outcome.word)
        kind = tally.kinds.setdefault(outcome.request.kind or UNKNOWN, {})
        _bump(kind, "rows")
        _bump(kind, "rows_kept", int(bool(outcome.kept)))
        _bump(kind, "accepted", len(outcome.kept))
        tally.candidates += len(outcome.candidates)
        tally.accepted += len(outcome.kept)
        if outcome.clip_original is not None:
            _enter(tally, "clip_original", outcome.clip_original, kept=False)
        for place, (candidate, scores) in enumerate(
            zip(outcome.candidates, outcome.scores, strict=True)
        ):
            _count_candidate(tally, candidate, scores, place in outcome.kept, settings)
    return tally


def add(tallies: Iterable[dict[str, Any]]) -> Tally:
    """The counts of several shards, from what `to_dict` gave of each."""
    total: dict[str, Any] = Tally().to_dict()
    for tally in tallies:
        total = _sum(total, {key: tally[key] for key in total if key in tally})
    return Tally(**total)


def control(candidate: Candidate) -> str | None:
    """What steered a candidate: its conditioning scale, or the tenth of its attention fraction."""
    if candidate.conditioning_scale is not None:
        return f"{candidate.conditioning_scale:g}"
    if candidate.attention_fraction is not None:
        tenth = min(9, floor(candidate.attention_fraction * 10 + 1e-9))
        return f"{tenth / 10:.1f}–{(tenth + 1) / 10:.1f}"
    return None


def bin_of(cosine: float) -> int:
    """The bin of a histogram that a cosine falls into; one that is no number, the lowest."""
    return min(BINS - 1, max(0, floor((cosine + 1) / 2 * BINS))) if cosine == cosine else 0


def _count_candidate(
    tally: Tally, candidate: Candidate, scores: Scores, kept: bool, settings: PairsSettings
) -> None:
    failed = failures(scores, settings.thresholds)
    undirected = scores.clip_direction is None
    tally.undirected += int(undirected)
    for reason in [] if kept else failed or [OTHERS_BETTER]:
        none = undirected and reason == "clip_direction"
        _bump(tally.rejected, NO_DIRECTION if none else reason)
    label = control(candidate)
    if label is not None:
        steered = tally.controls.setdefault(label, {})
        _bump(steered, "candidates")
        _bump(steered, "passed", int(not failed))
        _bump(steered, "accepted", int(kept))
    for name, value in scores.to_dict().items():
        if value is not None:
            _enter(tally, name, value, kept=kept)


def _enter(tally: Tally, score: str, value: float, *, kept: bool) -> None:
    histogram = tally.histograms.setdefault(score, {})
    _bump(histogram.setdefault("accepted" if kept else "rejected", {}), str(bin_of(value)))


def _bump(counts: dict[str, int], key: str, by: int = 1) -> None:
    counts[key] = counts.get(key, 0) + by


def _sum(a: Any, b: Any) -> Any:
    """Numbers added, lists joined, mappings key by key."""
    if isinstance(a, dict):
        return {
            key: _sum(a[key], b[key]) if key in a and key in b else a.get(key, b.get(key))
            for key in [*a, *(key for key in b if key not in a)]
        }
    return a + b
