"""Does one Editor serve many threads? Every edit made in a crowd, against the same edit alone.

    python benchmarks/edit_threads.py --model nano --threads 16 --edits 400

Each thread takes the next request: its own picture, instructions, seed, scales and form of call.
Prints the errors and the number of pictures that differ in any bit from those made alone; the
exit code is 1 if there is either.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import numpy as np
from PIL import Image

from overpaint import Editor
from overpaint.editing import Edit
from overpaint.errors import UserError

WORDS = (
    "make it night",
    "remove the tree",
    "turn the cat into a dog",
    "add a red apple on the left",
    "make it a line drawing, " * 30,
)

FAULTS = (
    *(UserError, RuntimeError, ValueError, TypeError),
    *(LookupError, AttributeError, OSError),
)


@dataclass(frozen=True)
class Request:
    """One call of the editor: `number` decides the form, the picture, the words and the scales."""

    number: int
    steps: int

    def serve(self, editor: Editor) -> list[Edit]:
        """Call the editor."""
        number = self.number
        words = [WORDS[(number + i) % len(WORDS)] for i in range(1 + number % 2)]
        picture, settings = scene(number), {"seed": number, "num_inference_steps": self.steps}
        scales = {"guidance_scale": 2.0 + number % 3, "image_guidance_scale": 1.0 + number % 2 / 5}
        form = number % 4
        if form == 0:
            return editor.edit_each(picture, words, **settings, **scales)
        if form == 1:
            return editor.edit_in_turn(picture, words, **settings, **scales)
        if form == 2:
            return editor.edit_pairs([picture] * len(words), words, **settings, **scales)
        return editor.sweep(
            picture, words[0], guidance_scales=[2, 4], image_guidance_scales=[1.2], **settings
        )


def scene(number: int) -> Image.Image:
    """A picture of coloured squares, of one of three sizes; every third has transparent parts."""
    draw = np.random.default_rng(number)
    small = draw.integers(0, 256, (3, 4, 4 if number % 3 == 0 else 3), dtype=np.uint8)
    return Image.fromarray(small).resize(((64, 48), (64, 64), (48, 64))[number % 3 - 1], 0)


def main() -> int:
    """Serve all requests alone and then by threads; say what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--edits", type=int, default=400)
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    requests = [Request(number, options.steps) for number in range(options.edits)]
    alone = Editor.from_pretrained(options.model, device="cpu")
    began = time.perf_counter()
    expected = [seen(request.serve(alone)) for request in requests]
    single = time.perf_counter() - began

    shared = Editor.from_pretrained(options.model, device="cpu")  # nothing is warm in this one
    start = Barrier(options.threads)

    def work(first: int) -> list[tuple[int, str]]:
        start.wait()
        return [
            (number, outcome(requests[number], shared))
            for number in range(first, len(requests), options.threads)
        ]

    began = time.perf_counter()
    with ThreadPoolExecutor(options.threads) as pool:
        answers = [answer for part in pool.map(work, range(options.threads)) for answer in part]
    crowd = time.perf_counter() - began
    errors = Counter(found for _, found in answers if found.startswith("error: "))
    wrong = [n for n, found in answers if not found.startswith("error: ") and found != expected[n]]
    report = {
        "model": options.model,
        "threads": options.threads,
        "edits": len(answers),
        "errors": sum(errors.values()),
        "different": len(wrong),
        "which_errors": dict(errors.most_common(3)),
        "seconds": {"alone": round(single, 1), "threads": round(crowd, 1)},
    }
    print(json.dumps(report, indent=1))
    return int(bool(errors or wrong))


def outcome(request: Request, editor: Editor) -> str:
    """What a request gave, or how it failed."""
    try:
        return seen(request.serve(editor))
    except FAULTS as error:
        return f"error: {type(error).__name__}: {str(error)[:100]}"


def seen(edits: list[Edit]) -> str:
    """A digest of all that a request gave: pictures, settings and notes."""
    digest = hashlib.sha256()
    for edit in edits:
        digest.update(edit.image.tobytes())
        digest.update(repr((edit.instruction, edit.seed, edit.image.size, edit.notes)).encode())
    return digest.hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
