"""Triplets of our own: over everyday captions, written by hand for this package, and over scenes.

`everyday.tsv` is licensed as the package is. Both together are what the shipped adapter may be
trained on; `overpaint instruct examples` writes them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files

from overpaint.instruct.filters import fault_of_triplet
from overpaint.rows import Triplet
from overpaint.seeds import derive_seed

# Kinds of edit of scenes → ours. A swap or a move changes no word or only the place, and
# "make the cat bigger" gives "a big cat", which does not reflect it word by word.
SCENE_KINDS = {
    "replace": "object",
    "add at": "add",
    "add": "add",
    "remove": "remove",
    "background": "background",
    "recolour": "attribute",
    "line drawing": "medium",
    "greyscale": "style",
    "night": "time",
}


def everyday_triplets() -> list[Triplet]:
    """The triplets over everyday captions, one a caption, forty a kind."""
    text = files("overpaint.instruct").joinpath("everyday.tsv").read_text(encoding="utf-8")
    return [
        Triplet(
            original_prompt=row["caption"],
            edit_prompt=row["edit"],
            edited_prompt=row["edited"],
            kind=row["kind"],
            model="by hand",
        )
        for row in csv.DictReader(text.splitlines(), delimiter="\t")
    ]


def scene_triplets(count: int, seed: int = 0) -> Iterator[Triplet]:
    """`count` triplets over scenes of the small world, from the training split.

    They are what nano's text-to-image model can draw, edited captions too. Kinds take turns: drawn
    freely, a few kinds that always apply would make up most of them.
    """
    from overpaint.scenes.examples import sample_example

    kinds = tuple(SCENE_KINDS)
    found = number = 0
    while found < count:
        own_seed = derive_seed(seed, "scene triplet", number)
        kind = kinds[found % len(kinds)]
        example = sample_example(own_seed, "train", "small", kinds=(kind,), size=16)
        number += 1
        triplet = Triplet(
            original_prompt=example.original_prompt,
            edit_prompt=example.edit_prompt,
            edited_prompt=example.edited_prompt,
            kind=SCENE_KINDS[example.kind],
            seed=own_seed,
            model="scenes",
        )
        # Phrasings such as "make it dark" for a caption that then says "at night" are right,
        # and teach a writer to be rejected.
        if fault_of_triplet(triplet) is None:
            found += 1
            yield triplet
