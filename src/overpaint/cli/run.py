"""`overpaint run`: a recipe in, a model and its report out."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from overpaint.cli._output import print_json, say
from overpaint.cli._threads import quieten_threads


class StageName(StrEnum):
    """One stage."""

    instruct = "instruct"
    pairs = "pairs"
    train = "train"
    evaluate = "evaluate"


def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML).")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as train.steps=1000."),
    ] = None,
    only: Annotated[StageName | None, typer.Option(help="This stage alone.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The run's folder. [default: runs/NAME, the recipe's]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a recipe: captions, triplets, pairs, a model, its report; what is done is skipped."""
    quieten_threads()
    from overpaint.recipe import read_recipe
    from overpaint.runs.run import run_recipe
    from overpaint.runs.stages import BLOCKS

    values = read_recipe(recipe, BLOCKS, settings or [])
    name = values.name if "name" in values.model_fields_set else recipe.stem
    folder = output or Path("runs", name)
    command = shlex.join(["overpaint", *sys.argv[1:]])
    try:
        outcome = run_recipe(values, folder, only.value if only else None, command, say)
    except KeyboardInterrupt as stop:
        stop.add_note("the same command goes on where this one was.")
        raise
    link = outcome.report.resolve().as_uri() if outcome.report else None
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "report": link,
                "made": outcome.made,
                "seconds": outcome.seconds,
            }
        )
        return
    if not outcome.made:
        say(f"there was nothing to do: {only.value if only else 'every stage'} is done.")
    typer.echo(link or folder)
