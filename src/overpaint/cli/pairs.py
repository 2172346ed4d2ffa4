"""`overpaint pairs`: triplets in, pairs of pictures out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from overpaint.cli._engine import EngineOption, WorkersOption, read_engine
from overpaint.cli._output import echo, print_json, say
from overpaint.cli._threads import quieten_threads


class Method(StrEnum):
    """How candidates are drawn."""

    controlnet = "controlnet"
    prompt_to_prompt = "prompt-to-prompt"


def pairs(
    triplets: Annotated[
        str,
        typer.Option(
            help="A folder that `overpaint instruct` wrote, a .jsonl, .csv or .parquet file, a "
            "dataset id."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of pairs to write.")],
    model: Annotated[
        str | None,
        typer.Option(help="What draws: nano, a diffusers folder, a hub id. [default: nano]"),
    ] = None,
    method: Annotated[
        Method | None, typer.Option(help="How candidates are drawn. [default: controlnet]")
    ] = None,
    controlnet: Annotated[
        str | None,
        typer.Option(help="A folder or a hub id. [default: the model's own]"),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(help="What scores: nano, a folder or a hub id. [default: the model's own]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same bytes.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A recipe; its pairs: block is read.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting of pairs:, such as keep=1."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps. [default: the best one here]")
    ] = None,
    engine: EngineOption = None,
    workers: WorkersOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw pairs for triplets and keep the good ones; the same command resumes a stopped run."""
    quieten_threads()
    from overpaint.pairs.settings import PairsSettings
    from overpaint.recipe import read_block

    given = {
        "model": model,
        "method": method.value if method else None,
        "controlnet": controlnet,
        "clip": clip,
        "seed": seed,
    }
    values = read_block(recipe, "pairs", PairsSettings, settings or [], given)
    from overpaint.pairs.stage import make_pairs
    from overpaint.pairs.statistics import table

    where = read_engine(engine, workers, recipe, settings or [])
    summary = make_pairs(triplets, output, values, where, device)
    if as_json:
        print_json({"folder": str(output), **summary})
        return
    echo(table(summary))
    say(f"pairs: {output}; a page to look at: {output / 'pairs.html'}")
