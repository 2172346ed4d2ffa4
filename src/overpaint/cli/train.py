"""`overpaint train`: pairs in, a model that edits out."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overpaint.cli._output import print_json, say

if TYPE_CHECKING:
    from overpaint.training.settings import TrainSettings


def train(
    pairs: Annotated[Path, typer.Option(help="A folder of pairs.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The model's folder.")],
    model: Annotated[
        str,
        typer.Option(
            help="The base: a diffusers folder, a .safetensors file, a hub id or nano; for a U-Net "
            "from scratch (train.unet in the recipe) a folder of the other parts."
        ),
    ],
    recipe: Annotated[Path | None, typer.Option(help="A recipe; its train: block is read.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="One setting of train:, such as steps=1000."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where encoded pictures lie; runs may share it. [default: the run's]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train the U-Net that edits; the same command resumes a run that was stopped."""
    # Threads that spin while they wait make training many times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    values = read_train_settings(recipe, settings or [])
    from overpaint.training.editor import train_editor, work_folder

    began = time.perf_counter()
    out = train_editor(pairs, model, output, values, cache)
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


def read_train_settings(recipe: Path | None, overrides: list[str]) -> TrainSettings:
    """The `train:` block of a recipe under `--set`; keys may leave out their `train.`.

    Raises:
        UserError: the recipe or a setting is wrong.
    """
    from pydantic import BaseModel, ConfigDict

    from overpaint.recipe import read_recipe
    from overpaint.training.settings import TrainSettings

    class Other(BaseModel):
        """Blocks of other stages, which those read."""

        model_config = ConfigDict(extra="allow")

    others = dict.fromkeys(("instruct", "pairs", "evaluate"), Other)
    blocks: dict[str, type[BaseModel]] = {"train": TrainSettings, **others}

    def full(override: str) -> str:
        first = override.partition("=")[0].partition(".")[0].strip()
        return override if first in (*blocks, "name", "engine") else f"train.{override}"

    read = read_recipe(recipe, blocks, [full(override) for override in overrides])
    values = getattr(read, "train", None)
    return values if isinstance(values, TrainSettings) else TrainSettings(seed=read.seed)


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
