"""How often an editor does what it was told: target retrieval@1 of 32, on scenes.

    python benchmarks/edit_accuracy.py --model nano --scenes 600 --seed 1234 --json

For every example the right answer is known pixel by pixel. The edited picture is compared by
mean squared error with 32 candidates: the right answer, the unedited original, targets of other
instructions on the same scene, and other scenes' targets. `--scenes` counts examples a split,
as many of each kind as of any other. Beside the editor stand two baselines: returning the input,
and returning a random other target. PSNR is over the pixels that no right answer changes (mean), and over the whole picture against the
nearest right answer (median). A model of another size than `--size` edits at its own size.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TypedDict

import numpy as np
from PIL import Image

from overpaint import Editor
from overpaint.evaluation.sources import benchmark_examples
from overpaint.metrics.pixelwise import Pixels, capped_psnr
from overpaint.metrics.retrieval import is_retrieved
from overpaint.scenes.edits import kinds_of
from overpaint.scenes.examples import SPLITS, Example, candidates

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


def main() -> None:
    """Measure, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--scenes", type=int, default=600, help="examples a split")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--split", choices=SPLITS, action="append", help="default: all three")
    parser.add_argument("--world", choices=("small", "full"), default="small")
    parser.add_argument("--world-version", type=int, choices=(1, 2), default=1)
    parser.add_argument("--size", type=int, default=64, help="side of the pictures")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance-scale", type=float)
    parser.add_argument("--image-guidance-scale", type=float)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    editor = Editor.from_pretrained(options.model, device=options.device)

    def edit(examples: Sequence[Example]) -> list[Pixels]:
        edits = editor.edit_pairs(
            [Image.fromarray(example.original) for example in examples],
            [example.edit_prompt for example in examples],
            num_inference_steps=options.steps,
            guidance_scale=options.guidance_scale,
            image_guidance_scale=options.image_guidance_scale,
        )
        return [np.asarray(edit.image) for edit in edits]

    report: dict[str, object] = {"model": options.model, "seed": options.seed, "splits": {}}
    began = time.perf_counter()
    for split in options.split or SPLITS:
        examples = benchmark_examples(
            options.scenes,
            options.seed,
            split,
            options.world,
            options.size,
            options.world_version,
        )
        scores = edit_accuracy(examples, edit, options.batch_size)
        report["splits"][split] = scores  # type: ignore[index]
        if not options.json:
            print_table(split, scores)
        print(f"{split}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    report["seconds"] = round(time.perf_counter() - began, 1)
    if options.json:
        print(json.dumps(report))


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


def print_table(split: str, scores: dict[str, Score]) -> None:
    """One split, a line a kind."""
    print(
        f"\n{split:<14}{'n':>5}  "
        + "  ".join(f"{m:>22}" for m in METHODS)
        + "  untouched dB  whole dB"
    )
    for name, score in scores.items():
        rates = "  ".join(f"{score['retrieval'][m]:>22.3f}" for m in METHODS)  # type: ignore[index]
        kept = score["untouched_psnr"]  # type: ignore[index]
        shown = f"{kept:>12.1f}" if kept else f"{'—':>12}"
        print(f"{name:<14}{score['count']:>5}  {rates}  {shown}  {score['whole_psnr']:>8.1f}")  # type: ignore[index]


if __name__ == "__main__":
    main()
