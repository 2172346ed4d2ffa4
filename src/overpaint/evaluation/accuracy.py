"""Edit accuracy on scenes: retrieval@1 by kind, beside baselines that anyone can check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TypedDict

from overpaint.metrics.pixelwise import Pixels, capped_psnr
from overpaint.metrics.retrieval import is_retrieved
from overpaint.scenes.catalogue import World
from overpaint.scenes.edits import kinds_of
from overpaint.scenes.examples import Example, Split, candidates, sample_example
from overpaint.scenes.layout import Version
from overpaint.seeds import derive_seed

EditBatch = Callable[[Sequence[Example]], list[Pixels]]
"""Edits the originals of examples by their instructions, each result of the original's size."""

METHODS = ("editor", "return the input", "a random other target")


class Score(TypedDict):
    """Of one kind, or overall; the PSNRs, in dB, are of the editor alone.

    `untouched_psnr` is the mean over examples, `whole_psnr` their median: of the whole picture
    against the nearest right answer.
    """

    count: int
    retrieval: dict[str, float]
    untouched_psnr: float | None
    whole_psnr: float


@dataclass
class _Results:
    """Of examples, method by method."""

    hits: dict[str, list[bool]] = field(default_factory=lambda: {m: [] for m in METHODS})
    untouched: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    def score(self) -> Score:
        """Of all examples together."""
        return Score(
            count=len(self.hits["editor"]),
            retrieval={name: fmean(hits) for name, hits in self.hits.items()},
            untouched_psnr=fmean(self.untouched) if self.untouched else None,
            whole_psnr=median(self.whole),
        )


def benchmark_example(
    index: int,
    seed: int,
    split: Split,
    world: World = "small",
    size: int = 64,
    version: Version = 1,
) -> Example:
    """Example `index` of the benchmark; the kinds take turns. None has a seed of training's."""
    kinds = kinds_of(version)
    kind = kinds[index % len(kinds)]
    own = derive_seed(seed, "accuracy", index)
    return sample_example(own, split, world, size, kinds=(kind,), version=version)


def benchmark_examples(
    count: int,
    seed: int,
    split: Split,
    world: World = "small",
    size: int = 64,
    version: Version = 1,
) -> list[Example]:
    """`count` examples, as many of each kind as of any other."""
    return [benchmark_example(i, seed, split, world, size, version) for i in range(count)]


def edit_accuracy(
    examples: Sequence[Example], edit: EditBatch, batch_size: int = 32, n_candidates: int = 32
) -> dict[str, Score]:
    """Scores by kind, and under `overall` of all examples together.

    The baselines: `return the input`; and `a random other target`, the first right answer of
    the next example, which is another scene.
    """
    version = examples[0].scene.version
    results = {name: _Results() for name in (*kinds_of(version), "overall")}
    for start in range(0, len(examples), batch_size):
        batch = examples[start : start + batch_size]
        for offset, (example, edited) in enumerate(zip(batch, edit(batch), strict=True)):
            other = examples[(start + offset + 1) % len(examples)].targets[0]
            wrong = candidates(example, n_candidates)
            answers = dict(zip(METHODS, (edited, example.original, other), strict=True))
            untouched = capped_psnr(edited, example.original, example.untouched)
            nearest = max(capped_psnr(edited, right) or 0.0 for right in example.targets)
            for found in (results[example.kind], results["overall"]):
                for name, answer in answers.items():
                    found.hits[name].append(is_retrieved(answer, example.targets, wrong))
                found.whole.append(nearest)
                if untouched is not None:
                    found.untouched.append(untouched)
    return {name: found.score() for name, found in results.items() if found.hits["editor"]}
