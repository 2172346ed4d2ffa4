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
from collections.abc import Sequence

import numpy as np
from PIL import Image

from overpaint import Editor
from overpaint.evaluation.accuracy import METHODS, Pixels, benchmark_examples, edit_accuracy
from overpaint.scenes.examples import SPLITS, Example


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


def print_table(split: str, scores: dict[str, object]) -> None:
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
