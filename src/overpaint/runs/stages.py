"""The four stages as a run sees them: what each is made from, how far it is, and how to make it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from overpaint.artifact import Artifact
from overpaint.engine import Engine
from overpaint.errors import UserError
from overpaint.evaluation.settings import SCENES, EvaluateSettings
from overpaint.instruct.settings import InstructSettings
from overpaint.pairs.settings import PairsSettings
from overpaint.recipe import STAGES, Recipe
from overpaint.shards import count_shards
from overpaint.training.settings import TrainSettings

BLOCKS: dict[str, type[BaseModel]] = dict(
    zip(STAGES, (InstructSettings, PairsSettings, TrainSettings, EvaluateSettings), strict=True)
)
"""The model of every block of a recipe."""

Say = Callable[[str], None]


class RunStage(Protocol):
    """One stage of a run."""

    name: ClassVar[str]
    """of its block in the recipe"""

    @property
    def out(self) -> Path:
        """The folder that it fills."""

    @property
    def source(self) -> Path | None:
        """What it reads of the run's folder; None: nothing."""

    @property
    def pages(self) -> tuple[Path, ...]:
        """What it writes for people; made again where it is not there."""

    def plan(self) -> str:
        """What it will do, in a few words."""

    def artifact(self) -> Artifact:
        """What it makes, or what it makes first and has not made yet.

        Raises:
            UserError: something that it reads is not there, or cannot be read.
        """

    def check(self) -> None:
        """Make sure, in seconds, that it can start.

        Raises:
            UserError: a model, a file or a package is missing, or this machine cannot do it.
        """

    def how_far(self) -> str | None:
        """How much of it is there, in words; None before it began."""

    def share_done(self) -> float:
        """How much of it is there, from 0 to 1."""

    def make(self, command: str, say: Say) -> None:
        """Do what is missing.

        Raises:
            UserError: as the stage.
        """


def stages_of(recipe: Recipe, folder: Path) -> dict[str, RunStage]:
    """The stages whose blocks the recipe has, in their order."""
    engine = Engine(recipe.engine, recipe.workers, gpus_per_worker=recipe.gpus_per_worker)
    made: dict[str, RunStage] = {}
    for stage in (Instruct, Pairs, Train, Evaluate):
        settings: Any = getattr(recipe, stage.name, None)
        if settings is not None:
            made[stage.name] = stage(settings, folder, engine)
    return made


@dataclass(frozen=True)
class Instruct:
    """Captions → triplets; first the fine-tuning of their writer, where the recipe has data."""

    settings: InstructSettings
    folder: Path
    engine: Engine
    name: ClassVar[str] = "instruct"

    @property
    def out(self) -> Path:
        """The folder of triplets."""
        return self.folder / "triplets"

    @property
    def source(self) -> None:
        """Captions come from elsewhere."""

    @property
    def writer(self) -> Path:
        """Where a fine-tuned writer goes."""
        return self.folder / "writer"

    @property
    def pages(self) -> tuple[Path, ...]:
        """See `RunStage`."""
        return (self.out / "summary.json", self.out / "triplets.html")

    def plan(self) -> str:
        """Captions, number of edits and writer."""
        values = self.settings
        captions = values.captions or f"{values.scenes} scenes"
        tuned = f"{values.model}, fine-tuned on {values.data}" if values.data else values.model
        return f"captions of {captions}, {values.generate.per_caption} edit(s) each, by {tuned}"

    def artifact(self) -> Artifact:
        """The triplets; before them the writer, where the recipe fine-tunes one."""
        from overpaint.instruct.generation import artifact_of, usable_captions
        from overpaint.instruct.sources import find_captions, find_writer

        values, model = self.settings, self.settings.model
        if values.data is not None and model is not None:
            from overpaint.instruct import finetuning
            from overpaint.tally import Tally

            rows = finetuning.usable_triplets(values.data, values, Tally())
            writer = finetuning.artifact_of(rows, model, self.writer, values)
            if writer.state() != "whole":
                return writer
            model = str(self.writer)
        captions, _ = usable_captions(find_captions(values, self.out))
        return artifact_of(captions, self.out, values, find_writer(values, model)[1])

    def check(self) -> None:
        """See `RunStage`."""
        from overpaint.instruct.sources import check

        check(self.settings)

    def share_done(self) -> float:
        """The shards."""
        return _share(*count_shards(self.out))

    def how_far(self) -> str | None:
        """Shards, or the fine-tuning before them."""
        shards = _shards(self.out)
        if shards is None and self.writer.with_name("writer.training").exists():
            return "the writer is fine-tuned" if self.writer.exists() else "fine-tuning began"
        return shards

    def make(self, command: str, say: Say) -> None:
        """See `RunStage`."""
        from overpaint.instruct.generation import generate
        from overpaint.instruct.sources import find_captions, find_writer

        values, model = self.settings, self.settings.model
        if values.data is not None and model is not None:
            from overpaint.instruct.finetuning import finetune

            finetune(values.data, model, self.writer, values)
            model = str(self.writer)
        open_writer, writer = find_writer(values, model)
        captions = find_captions(values, self.out)
        generate(captions, self.out, open_writer, values, writer, self.engine)


@dataclass(frozen=True)
class Pairs:
    """Triplets → pairs of pictures."""

    settings: PairsSettings
    folder: Path
    engine: Engine
    name: ClassVar[str] = "pairs"

    @property
    def out(self) -> Path:
        """The folder of pairs."""
        return self.folder / "pairs"

    @property
    def source(self) -> Path:
        """The triplets."""
        return self.folder / "triplets"

    @property
    def pages(self) -> tuple[Path, ...]:
        """See `RunStage`."""
        return (self.out / "summary.json", self.out / "pairs.html")

    def plan(self) -> str:
        """Method, candidates, model."""
        values = self.settings
        size = f" of {values.resolution} px" if values.resolution else ""
        return (
            f"{values.method}, {values.per_row} candidate(s) a triplet{size}, "
            f"{values.num_inference_steps} steps, by {values.model}"
        )

    def artifact(self) -> Artifact:
        """See `RunStage`."""
        from overpaint.models import pick_device
        from overpaint.pairs.stage import artifact_of, settled, usable_rows

        place = pick_device(None)
        rows, _ = usable_rows(self.source)
        return artifact_of(rows, self.out, settled(self.settings, place), place)

    def check(self) -> None:
        """See `RunStage`."""
        from overpaint.models import pick_device
        from overpaint.pairs.generation import open_generator

        open_generator(self.settings, pick_device(None), shown=())  # whatever is wrong shows there

    def share_done(self) -> float:
        """The shards."""
        return _share(*count_shards(self.out))

    def how_far(self) -> str | None:
        """See `RunStage`."""
        return _shards(self.out)

    def make(self, command: str, say: Say) -> None:
        """See `RunStage`."""
        from overpaint.pairs.stage import make_pairs

        make_pairs(self.source, self.out, self.settings, self.engine)


@dataclass(frozen=True)
class Train:
    """Pairs → a model that edits."""

    settings: TrainSettings
    folder: Path
    engine: Engine
    name: ClassVar[str] = "train"

    @property
    def out(self) -> Path:
        """The model's folder."""
        return self.folder / "model"

    @property
    def source(self) -> Path:
        """The pairs."""
        return self.folder / "pairs"

    @property
    def pages(self) -> tuple[Path, ...]:
        """See `RunStage`."""
        return ()

    def plan(self) -> str:
        """Steps, batch, size, base."""
        values = self.settings
        batch = f"{values.batch_size} x {values.gradient_accumulation_steps}"
        return (
            f"{values.steps} steps of {batch} pictures of {values.resolution} px, "
            f"from {values.model}"
        )

    def artifact(self) -> Artifact:
        """See `RunStage`."""
        from overpaint.training.editor import artifact_of
        from overpaint.training.loop import make_accelerator

        values = self.settings
        state = make_accelerator(values)
        return artifact_of(self.source, str(values.model), self.out, values, state)

    def check(self) -> None:
        """See `RunStage`."""
        import torch

        from overpaint.training.editor import load_base
        from overpaint.training.loop import make_accelerator

        if self.settings.model is None:
            raise UserError("the recipe does not say what to train from: set train.model.")
        load_base(self.settings.model, self.settings, torch.device("cpu"))
        make_accelerator(self.settings)

    def share_done(self) -> float:
        """The steps."""
        return _share(self._step(), self.settings.steps)

    def how_far(self) -> str | None:
        """The newest checkpoint's step."""
        work = self.out.with_name(f"{self.out.name}.training")
        return f"step {self._step()} of {self.settings.steps}" if work.exists() else None

    def _step(self) -> int:
        work = self.out.with_name(f"{self.out.name}.training")
        steps = [path.name.removeprefix("step-") for path in work.glob("checkpoints/step-*")]
        return max((int(step) for step in steps if step.isdigit()), default=0)

    def make(self, command: str, say: Say) -> None:
        """See `RunStage`."""
        from overpaint.training.editor import train_editor

        train_editor(self.source, str(self.settings.model), self.out, self.settings)


@dataclass(frozen=True)
class Evaluate:
    """A model → a report."""

    settings: EvaluateSettings
    folder: Path
    engine: Engine
    name: ClassVar[str] = "evaluate"

    @property
    def out(self) -> Path:
        """The report's folder."""
        return self.folder / "report"

    @property
    def source(self) -> Path:
        """The model."""
        return self.folder / "model"

    @property
    def pages(self) -> tuple[Path, ...]:
        """See `RunStage`."""
        return (self.out / "report.html",)

    def plan(self) -> str:
        """Cases and sections."""
        values = self.settings
        cases = f"pairs of {values.pairs}" if values.pairs else f"{values.scenes or SCENES} scenes"
        against = f", against {', '.join(values.against)}" if values.against else ""
        sections = [name for name in ("curve", "galleries", "bias") if getattr(values, name)]
        return f"{cases}{against}" + "".join(f", {name}" for name in sections)

    def artifact(self) -> Artifact:
        """See `RunStage`; the page belongs to it."""
        from overpaint.evaluation.stage import artifact_of

        return artifact_of([str(self.source)], self.settings, self.out)

    def check(self) -> None:
        """See `RunStage`."""
        from overpaint.evaluation.stage import check

        check(self.settings)

    def share_done(self) -> float:
        """The shards of all models."""
        return _share(*self._shards())

    def how_far(self) -> str | None:
        """The shards of all models."""
        done, of = self._shards()
        if not of:
            return "begun" if self.out.exists() else None
        return f"{done} of {of} shards"

    def _shards(self) -> tuple[int, int]:
        counts = [count_shards(path) for path in self.out.glob("work/cases/*")]
        return sum(n for n, _ in counts), sum(of for _, of in counts)

    def make(self, command: str, say: Say) -> None:
        """See `RunStage`."""
        from overpaint.evaluation.stage import evaluate_with_settings

        evaluate_with_settings(
            [str(self.source)],
            self.settings,
            self.out,
            command=command,
            say=lambda sentence: say(f"note: {sentence}"),
            engine=self.engine,
        )


def _shards(folder: Path) -> str | None:
    done, of = count_shards(folder)
    if of:
        return f"{done} of {of} shards"
    return "begun" if folder.exists() else None


def _share(done: int, of: int) -> float:
    return done / of if of else 0.0
