"""Draw docs/nano-edits.png: nano's answer to the first held-out example of every kind.

    python benchmarks/readme_picture.py -o docs/nano-edits.png

Nothing is picked by hand: example `--seed` of each kind, seed 0, the model's own settings.
"""

from __future__ import annotations

import argparse

from PIL import Image

from overpaint import Editor
from overpaint.images import save_image
from overpaint.scenes.edits import KINDS
from overpaint.scenes.examples import sample_example
from overpaint.sheets import BeforeAfter, before_after


def main() -> None:
    """Edit and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", default="docs/nano-edits.png")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if kind != "add"]  # twelve fill three columns evenly
    examples = [sample_example(options.seed, "heldout", kinds=(kind,)) for kind in kinds]
    originals = [Image.fromarray(example.original) for example in examples]
    edits = Editor.from_pretrained(options.model).edit_pairs(
        originals, [example.edit_prompt for example in examples]
    )
    strips = [
        BeforeAfter(original, edit.instruction, [edit.image])
        for original, edit in zip(originals, edits, strict=True)
    ]
    save_image(before_after(strips, columns=3, side=128, between=140), options.out)


if __name__ == "__main__":
    main()
