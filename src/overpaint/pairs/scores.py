"""The scores of a pair, their thresholds, and which candidates pass and are kept.

A score is a row of `SCORES`: what it compares, how it is computed, its default thresholds, and
which wrong pairs `overpaint calibrate` holds against it. Help, summary, page and calibration follow
from that; a new score needs such a row, its field of `Thresholds`, and a column of `rows.Pair`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from torch import Tensor

Scores: TypeAlias = Mapping[str, "float | None"]
"""The scores of one pair by name, in [-1, 1] each; None where a score is undefined"""

# Kinds of wrong pairs that scenes give: see `calibration`.
UNEDITED, OTHER_EDIT, OTHER_SCENE = "unedited", "another edit", "another scene"
EVERY_WRONG = (UNEDITED, OTHER_EDIT, OTHER_SCENE)

RANKED_BY = "clip_direction"  # of the candidates that pass, the highest is kept first


@dataclass(frozen=True)
class Score:
    """One score of a pair, in [-1, 1]; the higher, the better."""

    label: str
    """a word for it beside a picture"""
    compares: str
    """what it compares, for the help and the page"""
    compute: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    """(n, d) vectors of length 1 of the pictures before and after and of their captions → (n,);
    NaN where the score is undefined"""
    threshold: float | None
    """the default: the mission's; None: not asked for"""
    nano_threshold: float | None
    """the default with nano's own CLIP, from `overpaint calibrate` with its defaults: 500 scenes,
    the best balance of right and wrong"""
    wrong_pairs: tuple[str, ...]
    """what calibration holds against right pairs; empty: the picture with wrong captions"""


def _before(before: Tensor, after: Tensor, caption: Tensor, caption_after: Tensor) -> Tensor:
    return (before * caption).sum(-1)


def _after(before: Tensor, after: Tensor, caption: Tensor, caption_after: Tensor) -> Tensor:
    return (after * caption_after).sum(-1)


def _image(before: Tensor, after: Tensor, caption: Tensor, caption_after: Tensor) -> Tensor:
    return (before * after).sum(-1)


def _direction(before: Tensor, after: Tensor, caption: Tensor, caption_after: Tensor) -> Tensor:
    from overpaint.metrics.embedding import directional_similarity

    return directional_similarity(before, after, caption, caption_after)


SCORES = {
    "clip_original": Score(
        "before", "the picture before the edit and its caption", _before,
        threshold=None, nano_threshold=None, wrong_pairs=(),
    ),
    "clip_edited": Score(
        "after", "the picture after the edit and its caption", _after,
        threshold=0.2, nano_threshold=0.7, wrong_pairs=EVERY_WRONG,
    ),
    "clip_image": Score(
        "image", "the two pictures", _image,
        threshold=0.65, nano_threshold=0.4, wrong_pairs=(OTHER_SCENE,),
    ),
    "clip_direction": Score(
        "direction", "the change of the picture and the change of the caption", _direction,
        threshold=0.15, nano_threshold=0.52, wrong_pairs=EVERY_WRONG,
    ),
}  # fmt: skip
"""All are cosines of CLIP's vectors (2211.09800, section 3.1.2)."""


def _threshold(name: str) -> Any:
    score = SCORES[name]
    unasked = " Left out, it is not asked for." if score.threshold is None else ""
    words = f"Cosine that {score.compares} must reach.{unasked}"
    return Field(default=score.threshold, ge=-1, le=1, description=words)


class Thresholds(BaseModel, extra="forbid", frozen=True):
    """The scores that a pair must reach; none: not asked for."""

    clip_original: float | None = _threshold("clip_original")
    clip_edited: float | None = _threshold("clip_edited")
    clip_image: float | None = _threshold("clip_image")
    clip_direction: float | None = _threshold("clip_direction")


def score_vectors(
    before: Tensor, after: Tensor, caption: Tensor, caption_after: Tensor
) -> list[Scores]:
    """The scores of n pairs.

    Args:
        before, after: (n, d) vectors of length 1 of the pictures.
        caption, caption_after: the same of their captions.
    """
    vectors = (before, after, caption, caption_after)
    columns = [
        [None if isnan(value) else value for value in score.compute(*vectors).tolist()]
        for score in SCORES.values()
    ]
    return [dict(zip(SCORES, row, strict=True)) for row in zip(*columns, strict=True)]


def failures(scores: Scores, thresholds: Thresholds) -> list[str]:
    """The names of the scores that are below what is asked for; none: the pair passes.

    A score that is undefined, or no number, is below everything.
    """
    return [name for name in SCORES if is_below(scores[name], getattr(thresholds, name))]


def is_below(score: float | None, threshold: float | None) -> bool:
    """Whether a score misses its threshold; no threshold is never missed."""
    return threshold is not None and (score is None or not score >= threshold)


def rank(scores: Scores) -> float:
    """What candidates are ordered by: the direction; one that has none comes last."""
    value = scores[RANKED_BY]
    return -1.0 if value is None else value


def choose(scores: Sequence[Scores], thresholds: Thresholds, keep: int) -> list[int]:
    """The indices of the candidates to keep: of those that pass, the best by `rank` first.

    Of equal ones the earlier is better. At most `keep`.
    """
    passing = [i for i, found in enumerate(scores) if not failures(found, thresholds)]
    return sorted(passing, key=lambda i: (-rank(scores[i]), i))[:keep]
