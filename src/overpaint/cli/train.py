"""`overpaint train`: pairs in, a model that edits out."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from overpaint.cli._options import AsJson, Assignments, RecipeFile
from overpaint.cli._output import print_json, say
from overpaint.cli._settings import options_of, read_options
from overpaint.cli._threads import quieten_threads

OPTIONS = options_of("overpaint.training.settings:TrainSettings")


def train(
    context: typer.Context,
    pairs: Annotated[Path, typer.Option(help="A folder of pairs.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The model's folder.")],
    recipe: RecipeFile = None,
    settings: Assignments = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder of encoded pictures, which several runs may share. [default: the run's own]"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a network that edits, on pairs of pictures.

    The same command resumes a run that was stopped.
    """
    quieten_threads()
    from overpaint.training.settings import TrainSettings

    values = read_options(context, recipe, "train", TrainSettings, settings or [])
    if values.model is None:
        raise typer.BadParameter("give --model: what to start from.")
    from overpaint.training.editor import train_editor, work_folder
    from overpaint.training.loop import end_processes

    began = time.perf_counter()
    out = train_editor(pairs, values.model, output, values, cache)
    end_processes()
    if int(os.environ.get("RANK", "0")) != 0:
        return
    work = work_folder(out)
    report = {
        "output": str(out),
        "work": str(work),
        "steps": values.steps,
        "samples": values.steps * values.batch_size * values.gradient_accumulation_steps,
        "seconds": round(time.perf_counter() - began, 1),
        **_last_metrics(work / "log.jsonl"),
    }
    if as_json:
        print_json(report)
    else:
        say(_summary(report))
        typer.echo(out)


def _last_metrics(path: Path) -> dict[str, float]:
    """The newest value of each metric in the log."""
    from overpaint.training.log import read_log

    newest: dict[str, Any] = {}
    for line in read_log(path):
        newest.update(line)
    newest.pop("step", None)
    return newest


def _summary(report: dict[str, Any]) -> str:
    parts = [
        f"trained {report['steps']} steps on {report['samples']} samples "
        f"({report['seconds']:g} s in this run): loss {report['loss']:.4f}"
    ]
    if "validation_mse" in report:
        parts.append(
            f"validation error {report['validation_mse']:.4f} "
            f"(the unedited picture: {report['validation_mse_of_input']:.4f})"
        )
    parts.append(f"log, sheets and checkpoints: {report['work']}")
    return "; ".join(parts)
