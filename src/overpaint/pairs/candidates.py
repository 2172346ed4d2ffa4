"""Candidates for a pair, and a row with its scored candidates (nothing heavy at the top)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING

from overpaint.pairs.scores import Scores

if TYPE_CHECKING:
    import numpy as np

    from overpaint.rows import Triplet

# What becomes of a row.
KEPT = "kept"
SOURCE_FAILS = "the source is unlike its caption"
NONE_PASSES = "no candidate passes"


@dataclass(frozen=True)
class CandidateSpec:
    """What one candidate is sampled from; None where the method knows no such thing.

    `seed` is the candidate's own: the noise of its edited picture comes from it.
    """

    row: int
    """index of its triplet among those that are sampled together"""
    seed: int
    guidance_scale: float
    conditioning_scale: float | None = None
    attention_fraction: float | None = None

    @property
    def control(self) -> str | None:
        """What steers it: the conditioning scale, or the tenth of its attention fraction."""
        if self.conditioning_scale is not None:
            return f"{self.conditioning_scale:g}"
        if self.attention_fraction is not None:
            tenth = min(9, floor(self.attention_fraction * 10 + 1e-9))
            return f"{tenth / 10:.1f}–{(tenth + 1) / 10:.1f}"
        return None


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pair of pictures, uint8 (H, W, 3) each, and what they were sampled from."""

    spec: CandidateSpec
    original: np.ndarray
    edited: np.ndarray


@dataclass(frozen=True)
class ScoredRow:
    """One row: its candidates with their scores, and the indices of those kept, best first.

    Where its source ended the row, `candidates` is empty, and `source` is the picture with its
    `clip_original`.
    """

    triplet: Triplet
    candidates: Sequence[Candidate] = ()
    scores: Sequence[Scores] = ()
    kept: Sequence[int] = ()
    source: np.ndarray | None = None
    clip_original: float | None = None

    @property
    def outcome(self) -> str:
        """What became of the row, in words."""
        if self.source is not None:
            return SOURCE_FAILS
        return KEPT if self.kept else NONE_PASSES
