"""`overpaint scenes`: pairs with exact targets."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overpaint.cli._output import echo, print_json

if TYPE_CHECKING:
    from overpaint.scenes.dataset import SceneSet
    from overpaint.scenes.layout import Version

ROWS_PER_SHARD = 2000  # the unit of work that a kill may cost


class Split(StrEnum):
    """Which part of the scenes."""

    train = "train"
    heldout = "heldout"
    novel = "novel"


class World(StrEnum):
    """How many objects there are."""

    small = "small"
    full = "full"


def scenes(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many pairs.")],
    out: Annotated[Path, typer.Option("-o", "--output", "--out", help="Folder to write.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    split: Annotated[Split, typer.Option(help="novel: objects that training never edits.")] = (
        Split.train
    ),
    world: Annotated[World, typer.Option(help="small: 48 objects; full: 189.")] = World.small,
    world_version: Annotated[
        int, typer.Option(min=1, max=2, help="2: objects on a grid, many phrasings, 15 kinds.")
    ] = 1,
    size: Annotated[int, typer.Option(min=8, max=4096, help="Side in pixels.")] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write pairs of scenes whose right answers are known pixel by pixel."""
    from overpaint.scenes.dataset import SceneSet

    version: Version = 2 if world_version == 2 else 1
    settings = SceneSet(count, seed, split.value, world.value, size, version)
    _write(settings, out)
    kinds = _count_kinds(out)
    if as_json:
        print_json({"folder": str(out), "pairs": count, "kinds": kinds})
        return
    echo(f"{out}: {count} pairs")
    for kind, number in kinds.items():
        echo(f"  {kind:<13}{number:>8}")


def _write(settings: SceneSet, folder: Path) -> None:
    """Write the shards that are missing."""
    from overpaint.artifact import Artifact
    from overpaint.engine.running import put_shard, unmade_shards
    from overpaint.progress import track
    from overpaint.rows import pair_features
    from overpaint.scenes.dataset import scene_rows
    from overpaint.shards import write_card

    artifact = Artifact(folder, settings.origin(), folder / "data")
    with artifact.being_made():
        write_card(folder, "Scenes", settings.describe(), license="cc-by-sa-4.0")
        shards = -(-settings.count // ROWS_PER_SHARD)
        for shard in track(unmade_shards(folder, shards), "scenes"):
            rows = scene_rows(settings, shard, shards)
            put_shard(folder, shard, shards, rows, pair_features(), {})
        artifact.finish()


def _count_kinds(folder: Path) -> dict[str, int]:
    from overpaint.shards import read_pairs

    return dict(sorted(Counter(read_pairs(folder)["kind"]).items()))
