"""`overpaint calibrate`: thresholds of `overpaint pairs` for a CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overpaint.cli._output import echo, print_json, say
from overpaint.cli._threads import quieten_threads
from overpaint.cli.scenes import Split, World


def calibrate(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for JSON and plot.")],
    clip: Annotated[str, typer.Option(help="nano, a folder or a hub id.")] = "nano",
    scenes: Annotated[int, typer.Option(min=20, help="How many scenes to look at.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same scenes.")] = 0,
    split: Annotated[Split, typer.Option(help="Which scenes.")] = Split.train,
    world: Annotated[World, typer.Option(help="small: 48 objects; full: 189.")] = World.small,
    size: Annotated[int, typer.Option(min=8, max=4096, help="Side in pixels.")] = 64,
    precision: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=1.0,
            help="Ask that so large a share of what passes a score be right. [default: the best "
            "balance of right pairs let through and wrong ones kept out]",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps. [default: the best one here]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Choose thresholds for pairs on scenes with known answers; prints them for a recipe."""
    quieten_threads()
    from overpaint.artifact import Artifact
    from overpaint.models import pick_device
    from overpaint.models.clip import load_clip
    from overpaint.models.origin import clip_origin
    from overpaint.pairs import calibration

    sample = calibration.SceneSample(scenes, seed, split.value, world.value, size)
    place = pick_device(device)
    loaded = load_clip(clip, place)
    origin = {
        "stage": "calibration",
        "clip": clip_origin(clip),
        **calibration.sample_origin(sample, precision),
    }
    artifact = Artifact(output, {**origin, "device": place.type}, output / "calibration.json")
    with artifact.being_made():
        found = calibration.calibrate(loaded, sample, precision)
        calibration.write_calibration(found, output)
        artifact.finish()
    if as_json:
        print_json({"folder": str(output), **found.to_dict()})
        return
    say(calibration.card_line(found))
    say(f"calibration: {output / 'calibration.json'}, {output / 'calibration.svg'}")
    echo(calibration.as_yaml(found))
