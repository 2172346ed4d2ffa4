"""Scenes as rows of pairs, the format that every stage reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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

    def describe(self) -> str:
        """What the data set's card says; it names every setting."""
        version = f"--world-version {self.version} " if self.version > 1 else ""
        return (
            f"{self.count} pairs with exact answers, written by\n\n"
            f"    overpaint scenes -n {self.count} --seed {self.seed} "
            f"--split {self.split} --world {self.world} {version}--size {self.size} -o DIR\n\n"
            "Composed of OpenMoji artwork (https://openmoji.org), CC BY-SA 4.0."
        )


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
        ).to_row()
