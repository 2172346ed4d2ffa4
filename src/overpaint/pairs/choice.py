"""Which candidates pass, which of them are kept, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from overpaint.pairs.settings import Thresholds

SCORES = ("clip_original", "clip_edited", "clip_image", "clip_direction")


@dataclass(frozen=True)
class Scores:
    """The four cosines of a pair, in [-1, 1]; see `rows.Pair`.

    `clip_direction` is None where the captions are equal: they ask for no direction.
    """

    clip_original: float
    clip_edited: float
    clip_image: float
    clip_direction: float | None

    @property
    def rank(self) -> float:
        """What candidates are ordered by: the direction; none comes last."""
        return -1.0 if self.clip_direction is None else self.clip_direction

    def to_dict(self) -> dict[str, float | None]:
        """The scores by name."""
        return asdict(self)


def failures(scores: Scores, thresholds: Thresholds) -> list[str]:
    """The names of the scores that are below what is asked for; none: the pair passes.

    A score that is no number, or not there, is below everything.
    """
    wanted = [(getattr(thresholds, name), getattr(scores, name), name) for name in SCORES]
    return [
        name
        for least, score, name in wanted
        if least is not None and (score is None or not score >= least)
    ]


def source_fails(clip_original: float, thresholds: Thresholds) -> bool:
    """Whether a source is so unlike its caption that no candidate of it can pass."""
    least = thresholds.clip_original
    return least is not None and not clip_original >= least


def choose(scores: Sequence[Scores], thresholds: Thresholds, keep: int) -> list[int]:
    """The places of the candidates to keep: of those that pass, the best by direction first.

    Of equal ones the earlier is better. At most `keep`.
    """
    passing = [i for i, found in enumerate(scores) if not failures(found, thresholds)]
    return sorted(passing, key=lambda i: (-scores[i].rank, i))[:keep]
