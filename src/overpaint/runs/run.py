"""A recipe from the first stage that is not done to the report."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from overpaint.artifact import held, refuse_file
from overpaint.errors import UserError, missing_extra
from overpaint.files import write_atomic
from overpaint.plain_yaml import yaml_text
from overpaint.recipe import STAGES, Recipe, lock
from overpaint.runs.stages import RunStage, Say, stages_of
from overpaint.sealed import plain

LOCK = "recipe.lock.yaml"
State = Literal["done", "half done", "changed", "to do"]

_SHOWN = 3  # changes


@dataclass(frozen=True)
class RunResult:
    """What a run did: `made` holds the words of the stages that had something to do."""

    folder: Path
    made: dict[str, str]
    seconds: dict[str, float]
    report: Path | None
    """the page, where there is one"""


@dataclass(frozen=True)
class PlanLine:
    """One line of the plan; `words` say what was made, what is there, or what differs."""

    stage: RunStage
    state: State
    words: str


def run_recipe(recipe: Recipe, folder: Path, only: str | None, command: str, say: Say) -> RunResult:
    """Run the stages that are not done, or `only` that one, into `folder`.

    The plan is said first; then every stage that has something to do is checked; then they run.

    Raises:
        UserError: a block is missing, a stage cannot start or fails, or refuses what `folder`
            holds; another process runs there.
    """
    _refuse_processes()
    refuse_file(folder)
    stages = _wanted(stages_of(recipe, folder), recipe, only)
    lines = plan(stages)
    say(f"{recipe.name}, in {folder}:")
    say(table(lines))
    _check(recipe, [line.stage for line in lines if line.state != "done"])
    made: dict[str, str] = {}
    seconds: dict[str, float] = {}
    with held(folder):
        for stage in stages:
            if _look(stage).state == "done":  # what came before may have changed its input
                continue
            say(f"{stage.name}: {stage.plan()}")
            began = time.perf_counter()
            stage.make(command, say)
            _free_memory()
            _write_lock(folder, recipe)
            made[stage.name] = _words(stage.artifact().made())
            seconds[stage.name] = round(time.perf_counter() - began, 1)
            say(f"{stage.name}: {made[stage.name]} ({seconds[stage.name]:g} s)")
    page = folder / "report" / "report.html"
    return RunResult(folder, made, seconds, page if page.is_file() else None)


def plan(stages: Sequence[RunStage]) -> list[PlanLine]:
    """What there is to do, stage by stage. Behind one that is not done, the input is not known yet."""
    lines: list[PlanLine] = []
    for stage in stages:
        known = not lines or lines[-1].state == "done"
        lines.append(_look(stage) if known else _unknown(stage))
    return lines


def table(lines: Sequence[PlanLine]) -> str:
    """The plan for a terminal: stage, state, words."""
    rows = [("stage", "state", ""), *((s.stage.name, s.state, s.words) for s in lines)]
    return "\n".join(f"{name:<10}{state:<11}{words}".rstrip() for name, state, words in rows)


def _look(stage: RunStage) -> PlanLine:
    """How far a stage is, from what it reads now.

    `changed`: it was made, or begun, from something else; it refuses that in a sentence.
    """
    if stage.how_far() is None:
        return PlanLine(stage, "to do", stage.plan())
    try:
        artifact = stage.artifact()
    except UserError:
        return _unknown(stage)  # `check` or the stage itself says what is wrong
    state = artifact.state()
    if state == "other":
        return PlanLine(stage, "changed", "; ".join(artifact.differences()[:_SHOWN]))
    if state == "whole" and all(path.is_file() for path in stage.pages):
        return PlanLine(stage, "done", _words(artifact.made()))
    return _unknown(stage)


def _unknown(stage: RunStage) -> PlanLine:
    """A stage of which it is not known, or does not matter, what it was made from."""
    how_far = stage.how_far()
    if how_far is None:
        return PlanLine(stage, "to do", stage.plan())
    return PlanLine(stage, "half done", f"{how_far}; {stage.plan()}")


def _words(made: Mapping[str, Any] | None) -> str:
    return "" if made is None else str(made["facts"].get("made", ""))


def _write_lock(folder: Path, recipe: Recipe) -> None:
    """Write `recipe.lock.yaml`: the recipe as resolved, versions, and every stage's origin."""
    stages: dict[str, Any] = {}
    for name, stage in stages_of(recipe, folder).items():
        line = _look(stage)
        if line.state != "done":
            break
        artifact = stage.artifact()
        found = dict(artifact.made() or {})
        stages[name] = {"origin": dict(artifact.origin), "made": line.words}
        stages[name]["sha256"] = found["digest"]
    values = plain({**lock(recipe), "stages": stages})
    write_atomic(folder / LOCK, yaml_text(values).encode())


def _check(recipe: Recipe, stages: Sequence[RunStage]) -> None:
    """Make sure that what will be started can start: no stage fails hours after the first began."""
    if stages and recipe.engine == "ray" and find_spec("ray") is None:
        raise missing_extra("engine: ray", "scale")
    for stage in stages:
        stage.check()
        _free_memory()  # some load their models to look at them


def _wanted(stages: dict[str, RunStage], recipe: Recipe, only: str | None) -> list[RunStage]:
    """The stages to look at."""
    names = STAGES if only is None else (only,)
    for name in names:
        if name not in stages:
            raise UserError(
                f"the recipe {recipe.name!r} has no block `{name}:`: write one (`{name}: {{}}` takes "
                "the defaults), or take a stage that it has with --only."
            )
    if only is not None:
        ordered = list(stages)
        at = ordered.index(only)
        _need_input(stages[ordered[at - 1]] if at else None, stages[only])
    return [stages[name] for name in names]


def _need_input(before: RunStage | None, wanted: RunStage) -> None:
    """Make sure that one stage alone has what it reads.

    Raises:
        UserError: the stage before it is not finished, or the recipe has none and what it would
            have made is not there.
    """
    if before is not None and not _is_made(before):
        raise UserError(
            f"{wanted.name} reads {before.out}, which is not finished: run the recipe without "
            f"--only, or with --only {before.name} first."
        )
    if wanted.source is not None and not wanted.source.is_dir():
        raise UserError(
            f"{wanted.name} reads {wanted.source}, which is not there: bring it there, or give the "
            "recipe the block that makes it."
        )


def _is_made(stage: RunStage) -> bool:
    """Whether a stage came to its end, be it with some rows set aside."""
    try:
        artifact = stage.artifact()
        return artifact.made() is not None and artifact.state() in ("whole", "partial")
    except UserError:
        return False


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
