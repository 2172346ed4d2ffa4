"""Thresholds for a CLIP, from scenes with known answers.

A threshold is to let right pairs through and keep wrong ones out, and every CLIP has cosines of its
own. Scenes give both: pairs that are right pixel by pixel, and edits that are wrong in a known way.
Each score is judged on what it is there for:

    clip_original    a picture and its caption, against another scene's caption and the caption
                     after the edit, which the picture does not show yet
    clip_edited      the right answer and the caption after the edit, against wrong edits
    clip_image       the picture and the right answer, against other scenes' pictures
    clip_direction   the change to the right answer, against the changes to wrong edits
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overpaint.engine.threads import fixed_threads
from overpaint.files import write_atomic
from overpaint.html.plots import Histogram, histogram_file
from overpaint.html.rendering import page_style
from overpaint.models.clip import Clip
from overpaint.pairs.scores import (
    OTHER_EDIT,
    OTHER_SCENE,
    SCORES,
    UNEDITED,
    Scores,
    Thresholds,
    failures,
    score_vectors,
)
from overpaint.pairs.statistics import BINS, bin_of
from overpaint.progress import track
from overpaint.scenes.catalogue import World
from overpaint.scenes.dataset import drawn_by
from overpaint.scenes.examples import Example, Split, candidates, sample_example
from overpaint.seeds import derive_seed

_WRONG = 8  # as `candidates` counts: 7 wrong edits, the last two of them other scenes'
_OTHERS = _WRONG // 4


@dataclass(frozen=True)
class SceneSample:
    """Which scenes to calibrate on."""

    count: int = 500
    seed: int = 0
    split: Split = "train"
    world: World = "small"
    size: int = 64


@dataclass(frozen=True)
class Cut:
    """A threshold on one score, and the shares of right and of wrong pairs that reach it."""

    threshold: float
    right_passing: float
    wrong_passing: float

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the shares of right pairs let through and wrong ones kept out."""
        return (self.right_passing + 1 - self.wrong_passing) / 2


@dataclass(frozen=True)
class Calibration:
    """Thresholds, and what they do on the scenes that they were chosen on."""

    clip: str
    scenes: SceneSample
    precision: float | None
    cuts: dict[str, Cut]
    passing: dict[str, float]
    """by kind of pair (right, unedited, ...): the share that passes all thresholds together"""
    right: dict[str, list[float]]
    wrong: dict[str, list[float]]

    @property
    def thresholds(self) -> Thresholds:
        """As the recipe takes them."""
        return Thresholds(**{name: cut.threshold for name, cut in self.cuts.items()})

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; of the distributions the quantiles."""
        return {
            "clip": self.clip,
            "scenes": asdict(self.scenes),
            "precision": self.precision,
            "thresholds": self.thresholds.model_dump(),
            "scores": {
                name: {
                    **asdict(cut),
                    "balanced_accuracy": round(cut.balanced_accuracy, 4),
                    "right": _quantiles(self.right[name]),
                    "wrong": _quantiles(self.wrong[name]),
                }
                for name, cut in self.cuts.items()
            },
            "passing": self.passing,
        }


def calibrate(clip: Clip, scenes: SceneSample, precision: float | None = None) -> Calibration:
    """Choose the four thresholds for a CLIP.

    Each maximises the balanced accuracy of its score; with `precision` (between 0.5 and 1) each is
    the lowest at which so large a share of what passes is right, were right and wrong pairs equally
    many, and where none reaches it the one that comes nearest. As `overpaint pairs` it computes with
    a fixed number of threads, for cosines differ in their last bits with that number.
    """
    with fixed_threads():
        shots = [
            _Shot.of(clip, _example(scenes, index))
            for index in track(range(scenes.count), "scenes", scenes.count)
        ]
    right, wrong = _distributions(shots)
    cuts = {name: choose_cut(right[name], wrong[name], precision) for name in SCORES}
    thresholds = Thresholds(**{name: cut.threshold for name, cut in cuts.items()})
    passing = {
        kind: _share_passing([s for shot in shots for s in shot.scores[kind]], thresholds)
        for kind in ("right", UNEDITED, OTHER_EDIT, OTHER_SCENE)
    }
    return Calibration(clip.name, scenes, precision, cuts, passing, right, wrong)


def sample_origin(scenes: SceneSample, precision: float | None) -> dict[str, Any]:
    """What a calibration is made from besides the CLIP (JSON values)."""
    return {"scenes": asdict(scenes), "drawn by": drawn_by(), "precision": precision}


def choose_cut(
    right: Sequence[float], wrong: Sequence[float], precision: float | None = None
) -> Cut:
    """The threshold, of two decimals, that separates two samples best; see `calibrate`.

    Of equally good ones the lowest, which keeps most pairs.
    """
    lowest, highest = min([*right, *wrong]), max(right)
    steps = range(int(np.floor(lowest * 100)), int(np.ceil(highest * 100)) + 1)
    cuts = [_cut(step / 100, right, wrong) for step in steps]
    if precision is not None:
        sure = [cut for cut in cuts if _precision(cut) >= precision]
        return sure[0] if sure else max(cuts, key=_precision)
    return max(cuts, key=lambda cut: cut.balanced_accuracy)


def write_calibration(found: Calibration, folder: Path) -> None:
    """Write `calibration.json` and `calibration.svg` into a folder.

    Raises:
        UserError: they cannot be written.
    """
    text = json.dumps(found.to_dict(), indent=1) + "\n"
    write_atomic(folder / "calibration.json", text.encode())
    write_atomic(folder / "calibration.svg", draw(found).encode())


def draw(found: Calibration) -> str:
    """The distributions with their thresholds, one below the other, as one SVG file."""
    return histogram_file([_histogram(found, name) for name in SCORES], page_style())


def card_line(found: Calibration) -> str:
    """One sentence for the model card."""
    cuts = ", ".join(f"{name} {cut.threshold:g}" for name, cut in found.cuts.items())
    wrong = ", ".join(
        f"{100 * found.passing[kind]:.0f} % of {words}"
        for kind, words in (
            (UNEDITED, "unedited pictures"),
            (OTHER_EDIT, "other edits of the scene"),
            (OTHER_SCENE, "other scenes"),
        )
    )
    return (
        f"Thresholds for pairs ({found.clip}, {found.scenes.count} scenes, seed "
        f"{found.scenes.seed}): {cuts}; {100 * found.passing['right']:.0f} % of exact pairs pass all "
        f"four, {wrong}."
    )


def as_yaml(found: Calibration) -> str:
    """The block of a recipe."""
    lines = [f"    {name}: {cut.threshold:g}" for name, cut in found.cuts.items()]
    return "\n".join(["pairs:", "  thresholds:", *lines])


@dataclass(frozen=True)
class _Shot:
    """The scores of one scene: right, and wrong by kind; and those of its picture and captions."""

    scores: dict[str, list[Scores]]
    original: Tensor
    caption: Tensor
    caption_after: Tensor

    @classmethod
    def of(cls, clip: Clip, example: Example) -> _Shot:
        edited = [example.targets[0], *candidates(example, _WRONG)]
        pictures = clip.images([Image.fromarray(p) for p in (example.original, *edited)])
        captions = clip.texts([example.original_prompt, example.edited_prompt])
        n = len(edited)
        found = score_vectors(
            pictures[:1].expand(n, -1), pictures[1:],
            captions[:1].expand(n, -1), captions[1:].expand(n, -1),
        )  # fmt: skip
        scores = {
            "right": found[:1],
            UNEDITED: found[1:2],
            OTHER_EDIT: found[2 : n - _OTHERS],
            OTHER_SCENE: found[n - _OTHERS :],
        }
        return cls(scores, pictures[0], captions[0], captions[1])


def _distributions(
    shots: Sequence[_Shot],
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """The scores of right and of wrong pairs, each score on what it is there for."""
    right = {name: _known(shots, name, ["right"]) for name in SCORES}
    originals = torch.stack([shot.original for shot in shots])
    captions = torch.stack([shot.caption for shot in shots])
    after = torch.stack([shot.caption_after for shot in shots])
    other = score_vectors(originals, originals, captions.roll(1, 0), after)
    later = score_vectors(originals, originals, after, after)
    wrong = {
        name: _known(shots, name, score.wrong_pairs)
        if score.wrong_pairs
        else [value for found in (*other, *later) if (value := found[name]) is not None]
        for name, score in SCORES.items()
    }
    return right, wrong


def _known(shots: Sequence[_Shot], name: str, kinds: Sequence[str]) -> list[float]:
    """A score of all pairs of these kinds, but of those that have none (see `Scores`)."""
    scores = [s for shot in shots for kind in kinds for s in shot.scores[kind]]
    return [value for s in scores if (value := s[name]) is not None]


def _example(scenes: SceneSample, index: int) -> Example:
    """One whose edit shows in the caption: without that there is no direction to compare."""
    for attempt in count():
        seed = derive_seed(scenes.seed, "calibration", index, attempt)
        example = sample_example(seed, scenes.split, scenes.world, scenes.size)
        if example.original_prompt != example.edited_prompt:
            return example
    raise AssertionError("count() ends never")


def _cut(threshold: float, right: Sequence[float], wrong: Sequence[float]) -> Cut:
    return Cut(
        threshold,
        round(float(np.mean(np.asarray(right) >= threshold)), 4),
        round(float(np.mean(np.asarray(wrong) >= threshold)), 4),
    )


def _precision(cut: Cut) -> float:
    passing = cut.right_passing + cut.wrong_passing
    return cut.right_passing / passing if passing else 0.0


def _share_passing(scores: Sequence[Scores], thresholds: Thresholds) -> float:
    return round(float(np.mean([not failures(found, thresholds) for found in scores])), 4)


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    names = {"p5": 0.05, "median": 0.5, "p95": 0.95}
    return {name: round(float(np.quantile(values, q)), 4) for name, q in names.items()}


def _histogram(found: Calibration, name: str) -> Histogram:
    return Histogram(
        {"right": _bins(found.right[name]), "wrong": _bins(found.wrong[name])},
        first=-1.0,
        width=2 / BINS,
        title=f"{name} of right and of wrong pairs",
        x_title=f"{name}: right pairs blue, wrong ones red",
        threshold=found.cuts[name].threshold,
    )


def _bins(values: Sequence[float]) -> Mapping[int, int]:
    counts: dict[int, int] = {}
    for value in values:
        counts[bin_of(value)] = counts.get(bin_of(value), 0) + 1
    return counts
