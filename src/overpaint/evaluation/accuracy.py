"""Edit accuracy on scenes: retrieval@1 by kind, beside baselines that anyone can check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from overpaint.evaluation.metrics import PSNR_CEILING
from overpaint.evaluation.retrieval import is_retrieved, psnr
from overpaint.scenes.catalogue import World
from overpaint.scenes.edits import KINDS
from overpaint.scenes.examples import Example, Split, candidates, sample_example
from overpaint.seeds import derive_seed

Pixels = NDArray[np.uint8]
EditBatch = Callable[[Sequence[Example]], list[Pixels]]
"""Edits the originals of examples by their instructions, each result of the original's size."""

METHODS = ("editor", "return the input", "a random other target")


class Score(TypedDict):
    """Of one kind, or overall; `untouched_psnr` in dB is of the editor alone."""

    count: int
    retrieval: dict[str, float]
    untouched_psnr: float | None


@dataclass
class Tally:
    """Results of examples, method by method."""

    hits: dict[str, list[bool]] = field(default_factory=lambda: {m: [] for m in METHODS})
    untouched: list[float] = field(default_factory=list)

    def score(self) -> Score:
        """Means over the examples."""
        return Score(
            count=len(self.hits["editor"]),
            retrieval={name: fmean(hits) for name, hits in self.hits.items()},
            untouched_psnr=fmean(self.untouched) if self.untouched else None,
        )


def benchmark_example(
    index: int, seed: int, split: Split, world: World = "small", size: int = 64
) -> Example:
    """Example `index` of the benchmark; the kinds take turns. None has a seed of training's."""
    kind = KINDS[index % len(KINDS)]
    return sample_example(derive_seed(seed, "accuracy", index), split, world, size, kinds=(kind,))


def benchmark_examples(
    count: int, seed: int, split: Split, world: World = "small", size: int = 64
) -> list[Example]:
    """`count` examples, as many of each kind as of any other."""
    return [benchmark_example(i, seed, split, world, size) for i in range(count)]


def edit_accuracy(
    examples: Sequence[Example], edit: EditBatch, batch_size: int = 32, n_candidates: int = 32
) -> dict[str, Score]:
    """Scores by kind, and under `overall` of all examples together.

    The baselines: `return the input`; and `a random other target`, the first right answer of
    the next example, which is another scene.
    """
    tallies = {name: Tally() for name in (*KINDS, "overall")}
    for start in range(0, len(examples), batch_size):
        batch = examples[start : start + batch_size]
        for offset, (example, edited) in enumerate(zip(batch, edit(batch), strict=True)):
            other = examples[(start + offset + 1) % len(examples)].targets[0]
            wrong = candidates(example, n_candidates)
            answers = dict(zip(METHODS, (edited, example.original, other), strict=True))
            kept = psnr(edited, example.original, example.untouched)
            for tally in (tallies[example.kind], tallies["overall"]):
                for name, answer in answers.items():
                    tally.hits[name].append(is_retrieved(answer, example.targets, wrong))
                if kept is not None:
                    tally.untouched.append(min(kept, PSNR_CEILING))
    return {name: tally.score() for name, tally in tallies.items() if tally.hits["editor"]}
