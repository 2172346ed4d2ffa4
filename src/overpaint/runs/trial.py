"""Small runs of a recipe's stages on this machine, to know what the whole ones will cost.

Every stage is run by its own code, with its real models, sizes and batches, on few rows and few
steps, in a folder that is deleted afterwards. What an earlier stage has not made yet is stood in for
by scenes, whose content does not matter here, and the model by one of few training steps.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from overpaint.engine import Engine
from overpaint.errors import UserError
from overpaint.evaluation.settings import EvaluateSettings
from overpaint.instruct.settings import InstructSettings
from overpaint.pairs.scores import Thresholds
from overpaint.pairs.settings import PairsSettings
from overpaint.recipe import Recipe
from overpaint.runs.cost import (
    Amount,
    Cost,
    Trial,
    amounts,
    cost_of,
    of_evaluate,
    of_instruct,
    of_pairs,
    of_train,
)
from overpaint.runs.run import PlanLine, plan
from overpaint.runs.stages import Evaluate, Instruct, Pairs, RunStage, Say, Train, stages_of
from overpaint.training.settings import TrainSettings

QUICK = 20.0  # seconds: a first trial that took longer is followed by smaller ones
_STEPS = (2, 4)
_PAIRS = (8, 24)
_CASES = (2, 16)


def plan_costs(recipe: Recipe, folder: Path, say: Say) -> list[Cost]:
    """What every stage of the recipe costs, `folder` holding what is done of it already.

    A stage that is done is not tried, nor one that was made from something else or whose models
    cannot be had: its note says so.
    """
    stages = stages_of(recipe, folder)
    todo = amounts(recipe, stages)
    lines = plan(list(stages.values()))
    with tempfile.TemporaryDirectory(prefix="overpaint-plan-") as scratch:
        trials = _Trials(recipe, stages, Path(scratch))
        return [_plan_stage(line, todo[line.stage.name], trials, say) for line in lines]


def _plan_stage(line: PlanLine, todo: Amount | None, trials: _Trials, say: Say) -> Cost:
    """The cost of one stage."""
    stage, name = line.stage, line.stage.name
    if line.state == "done":
        disk = _megabytes(stage.out)
        return replace(cost_of(name, 1.0, todo, ()), hours=0.0, megabytes=disk)
    done = stage.share_done()
    untried = cost_of(name, done, todo, ())
    if line.state == "changed":
        words = f"it was made from something else ({line.words}), and would be refused."
        return replace(untried, note=words)
    say(f"trying {name}: {stage.plan()}")
    try:
        return cost_of(name, done, todo, getattr(trials, name)())
    except UserError as error:
        return replace(untried, note=str(error))


class _Trials:
    """The trials of every stage; those of `train` leave a model for those of `evaluate`."""

    def __init__(self, recipe: Recipe, stages: Mapping[str, RunStage], scratch: Path) -> None:
        self.recipe = recipe
        self.stages = stages
        self.scratch = scratch
        self.model: Path | None = None

    def instruct(self) -> list[Trial]:
        """Captions of the recipe, as many as fill a batch."""
        settings = self.recipe.block("instruct", InstructSettings)
        if settings.endpoint is not None:
            raise UserError("an endpoint's time is its own, and is not tried.")
        captions = self._captions(settings)
        full = max(2, -(-settings.generate.batch_size // settings.generate.per_caption))

        def trial(count: int, _steps: int) -> Trial:
            place = self._place()
            source = place / "few-captions.txt"
            source.write_text("".join(f"{line}\n" for line in captions[:count]), encoding="utf-8")
            few = settings.model_copy(
                update={"captions": str(source), "scenes": None, "data": None}
            )
            amount = of_instruct(few, min(count, len(captions)))
            assert amount is not None
            return self._timed(Instruct(few, place, Engine()), amount)

        return _series(trial, (max(1, full // 2), full), (1, 1))

    def _captions(self, settings: InstructSettings) -> list[str]:
        from overpaint.instruct.generation import usable_captions
        from overpaint.instruct.sources import find_captions

        return usable_captions(find_captions(settings, self._place() / "triplets"))[0]

    def pairs(self) -> list[Trial]:
        """Triplets over scenes; no pair is rejected, so that the disk is the most it can take."""
        settings = self.recipe.block("pairs", PairsSettings)
        every = Thresholds(**dict.fromkeys(Thresholds.model_fields))

        def trial(count: int, steps: int) -> Trial:
            place = self._place()
            _write_triplets(place / "triplets", count)
            few = settings.model_copy(update={"num_inference_steps": steps, "thresholds": every})
            return self._timed(Pairs(few, place, Engine()), of_pairs(few, count))

        full = max(2, -(-settings.batch_size // settings.per_row))
        return _series(trial, (1, full), _STEPS)

    def train(self) -> list[Trial]:
        """Pairs of scenes of the real size, steps of one real micro-batch."""
        settings = self.recipe.block("train", TrainSettings)

        def trial(count: int, steps: int) -> Trial:
            place = self._place()
            _write_pairs(place / "pairs", count, settings.resolution)
            few = settings.model_copy(
                update={"steps": steps, "warmup_steps": 0, "gradient_accumulation_steps": 1}
                | {"validation_pairs": 0, "checkpoint_every": steps, "validate_every": None}
            )
            made = self._timed(Train(few, place, Engine()), of_train(few, count))
            self.model = place / "model"
            more = (settings.keep_checkpoints - 1) * _megabytes(
                place / "model.training/checkpoints"
            )
            return replace(
                made, megabytes=made.megabytes + _megabytes(place / "model.training") + more
            )

        return _series(trial, _PAIRS, _STEPS)

    def evaluate(self) -> list[Trial]:
        """Few cases by the model that is there, or by that of the trials of training."""
        settings = self.recipe.block("evaluate", EvaluateSettings)
        there = self.stages["evaluate"].source
        model = there if there is not None and there.is_dir() else self.model
        if model is None:
            raise UserError("there is no model yet to try it with.")
        train = getattr(self.recipe, "train", None)

        def trial(count: int, steps: int) -> Trial:
            place = self._place()
            (place / "model").symlink_to(model.resolve())
            number = {"limit": count} if settings.pairs is not None else {"scenes": count}
            few = settings.model_copy(
                update={"num_inference_steps": steps, **number}
                | dict.fromkeys(("curve", "galleries", "bias"), False)
            )
            amount = of_evaluate(few, count, train)
            assert amount is not None
            return self._timed(Evaluate(few, place, Engine()), amount)

        return _series(trial, _CASES, _STEPS)

    def _place(self) -> Path:
        """A new folder for one trial."""
        return Path(tempfile.mkdtemp(dir=self.scratch))

    def _timed(self, stage: RunStage, amount: Amount) -> Trial:
        began = time.perf_counter()
        stage.make("overpaint run --plan", lambda _: None)
        return Trial(amount, time.perf_counter() - began, _megabytes(stage.out))


def _series(
    trial: Callable[[int, int], Trial], rows: tuple[int, int], steps: tuple[int, int]
) -> list[Trial]:
    """Trials of few rows, of many rows, and of many rows with more steps.

    The first one also pays for imports and cold files: where that was quick, it is made again.
    """
    first = trial(rows[0], steps[0])
    quick = first.seconds < QUICK
    if quick:
        first = trial(rows[0], steps[0])
    many = rows[1] if quick else rows[0] + 1
    rest = [trial(many, step) for step in dict.fromkeys(steps)]
    return [first, *rest]


def _write_triplets(folder: Path, count: int) -> None:
    """Triplets over scenes, in place of those that are to be written."""
    from overpaint.instruct.everyday import scene_triplets
    from overpaint.rows import triplet_features
    from overpaint.shards import write_shard

    rows = [triplet.to_row() for triplet in scene_triplets(count)]
    write_shard(folder, 0, 1, rows, triplet_features())


def _write_pairs(folder: Path, count: int, size: int) -> None:
    """Pairs of scenes, in place of those that are to be drawn."""
    from overpaint.rows import pair_features
    from overpaint.scenes.dataset import SceneSet, scene_rows
    from overpaint.shards import write_shard

    write_shard(folder, 0, 1, scene_rows(SceneSet(count, 0, size=size), 0, 1), pair_features())


def _megabytes(folder: Path) -> float:
    """The disk that a folder's files take (10^6 bytes)."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
