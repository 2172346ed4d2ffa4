"""`overpaint pairs`: triplets in, pairs of pictures out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overpaint.cli._engine import read_engine
from overpaint.cli._options import (
    AsJson,
    Assignments,
    Device,
    EngineOption,
    RecipeFile,
    WorkersOption,
)
from overpaint.cli._output import echo, print_json, say
from overpaint.cli._settings import options_of, read_options
from overpaint.cli._threads import quieten_threads

OPTIONS = options_of("overpaint.pairs.settings:PairsSettings")


def pairs(
    context: typer.Context,
    triplets: Annotated[
        str,
        typer.Option(
            help="A folder that `overpaint instruct` wrote, a .jsonl, .csv or .parquet file, or a "
            "dataset id."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of pairs to write.")],
    recipe: RecipeFile = None,
    settings: Assignments = None,
    device: Device = None,
    engine: EngineOption = None,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Draw pairs of pictures for triplets and keep the good ones.

    The same command resumes a run that was stopped.
    """
    quieten_threads()
    from overpaint.pairs.settings import PairsSettings

    values = read_options(context, recipe, "pairs", PairsSettings, settings or [])
    from overpaint.pairs.stage import make_pairs
    from overpaint.pairs.statistics import table

    where = read_engine(engine, workers, recipe, settings or [])
    summary = make_pairs(triplets, output, values, where, device)
    if as_json:
        print_json({"folder": str(output), **summary})
        return
    echo(table(summary))
    say(f"pairs: {output}; a page to look at: {output / 'pairs.html'}")
