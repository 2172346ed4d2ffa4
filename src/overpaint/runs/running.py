"""A recipe from the first stage that is not done to the report."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from overpaint.claims import refuse_file, sole_owner
from overpaint.errors import UserError
from overpaint.files import content_hash
from overpaint.recipe import STAGES, Recipe
from overpaint.runs.lock import Lock
from overpaint.runs.plan import Step, look, made_from, need_input, table
from overpaint.runs.stages import Say, Stage, stages_of


@dataclass(frozen=True)
class Outcome:
    """What a run did: `made` holds the words of the stages that had something to do."""

    folder: Path
    made: dict[str, str]
    seconds: dict[str, float]
    report: Path | None
    """the page, where there is one"""


def run_recipe(recipe: Recipe, folder: Path, only: str | None, command: str, say: Say) -> Outcome:
    """Run the stages that are not done, or `only` that one, into `folder`.

    The plan is said first; then every stage that has something to do is checked; then they run.

    Raises:
        UserError: a block is missing, a stage cannot start or fails, or refuses what `folder`
            holds; another process runs there.
    """
    _refuse_processes()
    refuse_file(folder)
    stages = _wanted(stages_of(recipe, folder), recipe, only)
    lock = Lock.read(folder)
    steps = [look(stage, before, lock) for stage, before in stages]
    say(f"{recipe.name}, in {folder}:")
    say(table(steps))
    _check(recipe, [step.stage for step in steps if step.state != "done"])
    made: dict[str, str] = {}
    seconds: dict[str, float] = {}
    with sole_owner(folder):
        lock = Lock.read(folder)
        for stage, before in stages:
            step = look(stage, before, lock)  # what came before may have changed its input
            if step.state == "done":
                continue
            say(f"{stage.name}: {stage.plan()}")
            began = time.perf_counter()
            made[stage.name] = _make(step, before, lock, recipe, command, say)
            seconds[stage.name] = round(time.perf_counter() - began, 1)
            say(f"{stage.name}: {made[stage.name]} ({seconds[stage.name]:g} s)")
    page = folder / "report" / "report.html"
    return Outcome(folder, made, seconds, page if page.is_file() else None)


def _check(recipe: Recipe, stages: Sequence[Stage]) -> None:
    """Make sure that what will be started can start: no stage fails hours after the first began."""
    if stages and recipe.engine == "ray" and find_spec("ray") is None:
        raise UserError("engine: ray needs more packages: pip install 'overpaint[scale]'.")
    for stage in stages:
        stage.check()
        _free_memory()  # some load their models to look at them


def _wanted(
    stages: dict[str, Stage], recipe: Recipe, only: str | None
) -> list[tuple[Stage, Stage | None]]:
    """The stages to look at, each with the one before it."""
    names = STAGES if only is None else (only,)
    for name in names:
        if name not in stages:
            raise UserError(
                f"the recipe {recipe.name!r} has no block `{name}:`: write one (`{name}: {{}}` takes "
                "the defaults), or take a stage that it has with --only."
            )
    ordered = list(stages.values())
    before = dict(zip(stages, [None, *ordered[:-1]], strict=True))
    if only is not None:
        need_input(before[only], stages[only])
    return [(stages[name], before[name]) for name in names]


def _make(
    step: Step, before: Stage | None, lock: Lock, recipe: Recipe, command: str, say: Say
) -> str:
    """One stage, from its entry in the lock to the hash of what it made."""
    stage = step.stage
    if step.state == "to do":
        lock.begin(stage.name, made_from(stage, before, lock))
        lock.write(recipe)
    words = stage.make(command, say)
    _free_memory()
    lock.finish(stage.name, made_from(stage, before, lock), words, content_hash(stage.result))
    lock.write(recipe)
    return words


def _refuse_processes() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "`overpaint run` is one process: start it without torchrun, and for training on "
            "several GPUs use `torchrun -m overpaint train --recipe ...` on its pairs."
        )


def _free_memory() -> None:
    """The next stage's models need the room of the last one's."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
