"""Draw docs/nano-edits.png: nano's answers to one example of every kind.

    python benchmarks/readme_picture.py -o docs/nano-edits.png

Nothing is picked by hand: the examples are the first of the accuracy benchmark (phrasings that
training uses, scenes that it does not), edited with seed 0 and the model's own settings.
"""

from __future__ import annotations

import argparse

from PIL import Image

from overpaint import Editor
from overpaint.contact_sheets import BeforeAfter, before_after
from overpaint.evaluation.sources import benchmark_examples
from overpaint.images import save_image


def main() -> None:
    """Edit and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("-o", "--out", default="docs/nano-edits.png")
    options = parser.parse_args()
    examples = benchmark_examples(12, options.seed, "train")  # twelve fill three columns evenly
    originals = [Image.fromarray(example.original) for example in examples]
    edits = Editor.from_pretrained(options.model).edit_pairs(
        originals, [example.edit_prompt for example in examples]
    )
    strips = [
        BeforeAfter(original, edit.instruction, [edit.image])
        for original, edit in zip(originals, edits, strict=True)
    ]
    save_image(before_after(strips, columns=3, side=128, between=160), options.out)


if __name__ == "__main__":
    main()
