"""`overpaint evaluate`: models and cases in, a report out."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overpaint.cli._engine import read_engine
from overpaint.cli._options import AsJson, Assignments, EngineOption, RecipeFile, WorkersOption
from overpaint.cli._output import print_json, say
from overpaint.cli._settings import given, options_of, read_options
from overpaint.cli._threads import quieten_threads

if TYPE_CHECKING:
    from overpaint.report.schema import ModelReport, Report

OPTIONS = options_of("overpaint.evaluation.settings:EvaluateSettings")

# Who says how a part is to be made wants the part.
_PARTS = {
    "curve": ("curve_cases", "curve_image_scales", "curve_text_scales"),
    "galleries": ("drift_scenes", "picture", "instructions"),
    "bias": ("bias_folder",),
}


def evaluate(
    context: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Models: nano, folders, files or hub ids. Several are compared with each other.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The report's folder.")],
    recipe: RecipeFile = None,
    settings: Assignments = None,
    engine: EngineOption = None,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Measure models on scenes or pairs and write a report.

    The same command resumes an evaluation that was stopped.
    """
    quieten_threads()
    from overpaint.evaluation.settings import EvaluateSettings

    chosen = _with_parts(given(context))
    overrides = [*(settings or []), *_gives_way(chosen)]
    values = read_options(context, recipe, "evaluate", EvaluateSettings, overrides, chosen)
    from overpaint.evaluation.stage import evaluate_with_settings

    began = time.perf_counter()
    report = evaluate_with_settings(
        models,
        values,
        output,
        command=shlex.join(["overpaint", *sys.argv[1:]]),
        say=lambda sentence: say(f"note: {sentence}"),
        engine=read_engine(engine, workers, recipe, settings or []),
    )
    _print(report, output, time.perf_counter() - began, as_json=as_json)


def _with_parts(chosen: dict[str, Any]) -> dict[str, Any]:
    """What was given, with the parts of the report that it asks for."""
    asked = {part: True for part, keys in _PARTS.items() if any(key in chosen for key in keys)}
    return asked | chosen


def _gives_way(chosen: dict[str, Any]) -> list[str]:
    """What a recipe says of the cases gives way to other cases of the command line."""
    if "pairs" in chosen and "scenes" in chosen:
        raise typer.BadParameter("--pairs and --scenes cannot go together.")
    if "pairs" in chosen:
        return ["evaluate.scenes=null"]
    if "scenes" in chosen:
        return ["evaluate.pairs=null", "evaluate.limit=null", "evaluate.preset=null"]
    return []


def _overall(model: ModelReport) -> dict[str, object]:
    return {name: found.model_dump() for name, found in model.scores["overall"].items()}


def _print(report: Report, output: Path, seconds: float, *, as_json: bool) -> None:
    from overpaint.report.page import summary

    if as_json:
        print_json(
            {
                "report": str(output / "report.json"),
                "page": str(output / "report.html"),
                "seconds": round(seconds, 1),
                "better": {metric.name: metric.better for metric in report.metrics},
                "scores": {model.label: _overall(model) for model in report.models},
                "unedited": report.unedited and _overall(report.unedited),
                "trained_on": {model.label: model.trained_on for model in report.models},
                "notes": report.notes,
            }
        )
        return
    for sentence in summary(report):
        say(sentence)
    typer.echo(output / "report.html")
