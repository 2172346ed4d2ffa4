"""`overpaint run`: a recipe in, a model and its report out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from overpaint.cli._options import AsJson, Assignments
from overpaint.cli._output import echo, print_json, say
from overpaint.cli._threads import quieten_threads

if TYPE_CHECKING:
    from overpaint.recipe import Recipe

StageName = Literal["instruct", "pairs", "train", "evaluate"]


def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML).")],
    settings: Assignments = None,
    only: Annotated[StageName | None, typer.Option(help="Run this stage alone.")] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Only say what is done and what the rest will cost: rows, evaluations of the "
            "networks, disk and hours, from about a minute of trying it on this machine.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="The run's folder. [default: runs/NAME, by the recipe's name]"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a recipe from captions to a report, skipping what is done.

    Its stages make triplets, pairs, a model and its report.
    """
    quieten_threads()
    from overpaint.recipe import read_recipe
    from overpaint.runs.run import run_recipe
    from overpaint.runs.stages import BLOCKS

    values = read_recipe(recipe, BLOCKS, settings or [])
    name = values.name if "name" in values.model_fields_set else recipe.stem
    folder = output or Path("runs", name)
    if plan:
        _plan(values, folder, as_json=as_json)
        return
    command = shlex.join(["overpaint", *sys.argv[1:]])
    try:
        result = run_recipe(values, folder, only, command, say)
    except KeyboardInterrupt as stop:
        stop.add_note("the same command goes on where this one was.")
        raise
    link = result.report.resolve().as_uri() if result.report else None
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "report": link,
                "made": result.made,
                "seconds": result.seconds,
            }
        )
        return
    if not result.made:
        say(f"there was nothing to do: {only if only else 'every stage'} is done.")
    typer.echo(link or folder)


def _plan(recipe: Recipe, folder: Path, *, as_json: bool) -> None:
    """Print the costs of a recipe; what is tried goes to a folder that is deleted."""
    from overpaint.runs import cost
    from overpaint.runs.trial import plan_costs

    costs = plan_costs(recipe, folder, say)
    if as_json:
        print_json({"name": recipe.name, "folder": str(folder), **cost.as_json(costs)})
    else:
        echo(cost.table(costs))
