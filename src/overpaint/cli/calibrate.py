"""`overpaint calibrate`: thresholds of `overpaint pairs` for a CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overpaint.cli._options import AsJson, Device, Split, World
from overpaint.cli._output import echo, print_json, say
from overpaint.cli._threads import quieten_threads


def calibrate(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the figures (JSON) and the plot.")
    ],
    clip: Annotated[str, typer.Option(help="The CLIP: nano, a folder or a hub id.")] = "nano",
    scenes: Annotated[int, typer.Option(min=20, help="Number of scenes to look at.")] = 500,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the scenes. The same seed gives the same scenes.")
    ] = 0,
    split: Annotated[
        Split, typer.Option(help="Part of the scenes: train, heldout or novel.")
    ] = "train",
    world: Annotated[
        World, typer.Option(help="Objects of the scenes: small has 48 of them, full has 189.")
    ] = "small",
    size: Annotated[int, typer.Option(min=8, max=4096, help="Side of a picture in pixels.")] = 64,
    precision: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=1.0,
            help="Share of what passes a score that has to be right. [default: the best balance of "
            "right pairs let through and wrong ones kept out]",
        ),
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Find thresholds for `overpaint pairs` on scenes.

    Looks at pairs whose right answers are known, and prints the thresholds for a recipe.
    """
    quieten_threads()
    from overpaint.artifact import Artifact
    from overpaint.models import pick_device
    from overpaint.models.clip import load_clip
    from overpaint.models.origin import clip_origin
    from overpaint.pairs import calibration

    sample = calibration.SceneSample(scenes, seed, split, world, size)
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
