"""`overpaint scenes`: pairs with exact targets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overpaint.cli._options import AsJson, Split, World
from overpaint.cli._output import echo, print_json

if TYPE_CHECKING:
    from overpaint.scenes.dataset import SceneSet
    from overpaint.scenes.layout import Version

ROWS_PER_SHARD = 2000  # the unit of work that a kill may cost


def scenes(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of pairs.")],
    out: Annotated[Path, typer.Option("-o", "--output", "--out", help="Folder to write.")],
    seed: Annotated[
        int, typer.Option(help="Seed of the scenes. The same seed gives the same bytes.")
    ] = 0,
    split: Annotated[
        Split,
        typer.Option(
            help="Part of the scenes: train, heldout (new compositions and phrasings) or novel "
            "(objects that training never edits)."
        ),
    ] = "train",
    world: Annotated[
        World, typer.Option(help="Objects of the scenes: small has 48 of them, full has 189.")
    ] = "small",
    world_version: Annotated[
        int,
        typer.Option(
            min=1,
            max=2,
            help="Version of the world: 2 has objects on a grid, many phrasings and 15 kinds of edit.",
        ),
    ] = 1,
    size: Annotated[int, typer.Option(min=8, max=4096, help="Side of a picture in pixels.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Write pairs of scenes whose right answers are known exactly."""
    from overpaint.scenes.dataset import SceneSet

    version: Version = 2 if world_version == 2 else 1
    settings = SceneSet(count, seed, split, world, size, version)
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
