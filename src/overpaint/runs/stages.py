"""The four stages as a run sees them: what each is made from, how far it is, and how to make it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from overpaint.engine import Engine
from overpaint.errors import UserError
from overpaint.evaluation.settings import SCENES, EvaluateSettings
from overpaint.files import quick_hash
from overpaint.instruct.settings import InstructSettings
from overpaint.models.names import place_of
from overpaint.pairs.settings import PairsSettings
from overpaint.recipe import STAGES, Recipe
from overpaint.shards import count_shards
from overpaint.training.settings import TrainSettings

BLOCKS: dict[str, type[BaseModel]] = dict(
    zip(STAGES, (InstructSettings, PairsSettings, TrainSettings, EvaluateSettings), strict=True)
)
"""The model of every block of a recipe."""

Say = Callable[[str], None]


class Stage(Protocol):
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
    def result(self) -> Path:
        """What the next stage reads of it, and whose hash the lock keeps."""

    def plan(self) -> str:
        """What it will do, in a few words."""

    def made_from(self) -> dict[str, Any]:
        """Its settings, and hashes of what it reads from outside of the run (JSON values)."""

    def check(self) -> None:
        """Make sure, in seconds, that it can start.

        Raises:
            UserError: a model, a file or a package is missing, or this machine cannot do it.
        """

    def is_whole(self) -> bool:
        """Whether all of its output is there."""

    def how_far(self) -> str | None:
        """How much of it is there; None before it began."""

    def make(self, command: str, say: Say) -> str:
        """Do what is missing; returns what was made, in a few words.

        Raises:
            UserError: as the stage.
        """


def stages_of(recipe: Recipe, folder: Path) -> dict[str, Stage]:
    """The stages whose blocks the recipe has, in their order."""
    engine = Engine(recipe.engine, recipe.workers)
    made: dict[str, Stage] = {}
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
    def result(self) -> Path:
        """Its shards."""
        return self.out / "data"

    @property
    def source(self) -> None:
        """Captions come from elsewhere."""

    @property
    def writer(self) -> Path:
        """Where a fine-tuned writer goes."""
        return self.folder / "writer"

    def plan(self) -> str:
        """Captions, number of edits and writer."""
        values = self.settings
        captions = values.captions or f"{values.scenes} scenes"
        tuned = f"{values.model}, fine-tuned on {values.data}" if values.data else values.model
        return f"captions of {captions}, {values.generate.per_caption} edit(s) each, by {tuned}"

    def made_from(self) -> dict[str, Any]:
        """Fine-tuning counts where there is any."""
        from overpaint.instruct.models import place_of as writer_at

        values = self.settings
        unread = {"finetune"} if values.data is None else set()
        return {
            **values.model_dump(mode="json", exclude=unread),
            **_hashes(Path, captions=values.captions, data=values.data),
            **_hashes(writer_at, model=values.model),
        }

    def check(self) -> None:
        """See `Stage`."""
        from overpaint.instruct.opening import check

        check(self.settings)

    def is_whole(self) -> bool:
        """See `Stage`."""
        return _has_all_shards(self.out) and (self.out / "summary.json").is_file()

    def how_far(self) -> str | None:
        """Shards, or the fine-tuning before them."""
        shards = _shards(self.out)
        if shards is None and self.writer.with_name("writer.training").exists():
            return "the writer is fine-tuned" if self.writer.exists() else "fine-tuning began"
        return shards

    def make(self, command: str, say: Say) -> str:
        """See `Stage`."""
        from overpaint.instruct.generation import generate
        from overpaint.instruct.opening import find_captions, find_writer

        values, model = self.settings, self.settings.model
        if values.data is not None and model is not None:
            from overpaint.instruct.finetuning import finetune

            finetune(values.data, model, self.writer, values)
            model = str(self.writer)
        open_writer, identity = find_writer(values, model)
        captions = find_captions(values, self.out)
        summary = generate(captions, self.out, open_writer, values, identity, self.engine)
        return f"{summary['rows']} triplets of {summary['wanted']} wanted"


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
    def result(self) -> Path:
        """Its shards."""
        return self.out / "data"

    def plan(self) -> str:
        """Method, candidates, model."""
        values = self.settings
        size = f" of {values.resolution} px" if values.resolution else ""
        return (
            f"{values.method}, {values.per_row} candidate(s) a triplet{size}, "
            f"{values.num_inference_steps} steps, by {values.model}"
        )

    def made_from(self) -> dict[str, Any]:
        """See `Stage`."""
        from overpaint.pairs.parts import fingerprints

        values = self.settings
        return {**values.model_dump(mode="json"), "models": fingerprints(values)}

    def check(self) -> None:
        """See `Stage`."""
        from overpaint.models import pick_device
        from overpaint.pairs.making import open_stage

        open_stage(self.settings, pick_device(None), shown=())  # whatever is wrong shows there

    def is_whole(self) -> bool:
        """See `Stage`."""
        return _has_all_shards(self.out) and (self.out / "summary.json").is_file()

    def how_far(self) -> str | None:
        """See `Stage`."""
        return _shards(self.out)

    def make(self, command: str, say: Say) -> str:
        """See `Stage`."""
        from overpaint.pairs.stage import make_pairs

        summary = make_pairs(self.source, self.out, self.settings, self.engine)
        return f"{summary['accepted']} pairs of {summary['rows']} triplets"


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
    def result(self) -> Path:
        """All of it."""
        return self.out

    def plan(self) -> str:
        """Steps, batch, size, base."""
        values = self.settings
        batch = f"{values.batch_size} x {values.gradient_accumulation_steps}"
        return (
            f"{values.steps} steps of {batch} pictures of {values.resolution} px, "
            f"from {values.model}"
        )

    def made_from(self) -> dict[str, Any]:
        """See `Stage`."""
        return {
            **self.settings.model_dump(mode="json"),
            **_hashes(place_of, model=self.settings.model),
        }

    def check(self) -> None:
        """See `Stage`."""
        import torch

        from overpaint.training.base import load_base
        from overpaint.training.loop import make_accelerator

        if self.settings.model is None:
            raise UserError("the recipe does not say what to train from: set train.model.")
        load_base(self.settings.model, self.settings, torch.device("cpu"))
        make_accelerator(self.settings)

    def is_whole(self) -> bool:
        """See `Stage`."""
        return (self.out / "model_index.json").is_file()

    def how_far(self) -> str | None:
        """The newest checkpoint's step."""
        work = self.out.with_name(f"{self.out.name}.training")
        steps = [path.name.removeprefix("step-") for path in work.glob("checkpoints/step-*")]
        done = max((int(step) for step in steps if step.isdigit()), default=0)
        return f"step {done} of {self.settings.steps}" if work.exists() else None

    def make(self, command: str, say: Say) -> str:
        """See `Stage`."""
        from overpaint.training.editor import train_editor, work_folder
        from overpaint.training.log import read_log

        train_editor(self.source, str(self.settings.model), self.out, self.settings)
        log = read_log(work_folder(self.out) / "log.jsonl")
        losses = [line["loss"] for line in log if "loss" in line]
        return f"{self.settings.steps} steps, loss {losses[-1]:.4f}"


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
    def result(self) -> Path:
        """Its numbers."""
        return self.out / "report.json"

    @property
    def page(self) -> Path:
        """What a person reads."""
        return self.out / "report.html"

    def plan(self) -> str:
        """Cases and sections."""
        values = self.settings
        cases = f"pairs of {values.pairs}" if values.pairs else f"{values.scenes or SCENES} scenes"
        against = f", against {', '.join(values.against)}" if values.against else ""
        sections = [name for name in ("curve", "galleries", "bias") if getattr(values, name)]
        return f"{cases}{against}" + "".join(f", {name}" for name in sections)

    def made_from(self) -> dict[str, Any]:
        """See `Stage`."""
        values = self.settings
        against = {f"against {name}": name for name in values.against}
        found = _hashes(place_of, clip=values.clip, **against)
        return {**values.model_dump(mode="json"), **found}

    def check(self) -> None:
        """See `Stage`."""
        from overpaint.evaluation.from_settings import check

        check(self.settings)

    def is_whole(self) -> bool:
        """See `Stage`."""
        return self.result.is_file() and self.page.is_file()

    def how_far(self) -> str | None:
        """The shards of all models."""
        counts = [count_shards(path) for path in self.out.glob("work/*/cases")]
        if not counts:
            return "begun" if self.out.exists() else None
        return f"{sum(n for n, _ in counts)} of {sum(of for _, of in counts)} shards"

    def make(self, command: str, say: Say) -> str:
        """See `Stage`."""
        from overpaint.evaluation.from_settings import evaluate_as_set
        from overpaint.evaluation.page import summary

        report = evaluate_as_set(
            [str(self.source)],
            self.settings,
            self.out,
            command=command,
            say=lambda sentence: say(f"note: {sentence}"),
            engine=self.engine,
        )
        return " ".join(summary(report))


def _hashes(place: Callable[[str], Path], **sources: str | None) -> dict[str, str]:
    """The hash of every source that is a file or folder here, by its name; `place` says where."""
    paths = {name: place(source).expanduser() for name, source in sources.items() if source}
    return {f"sha256 of {n}": quick_hash(path) for n, path in paths.items() if path.exists()}


def _has_all_shards(folder: Path) -> bool:
    done, of = count_shards(folder)
    return 0 < done == of


def _shards(folder: Path) -> str | None:
    done, of = count_shards(folder)
    if of:
        return f"{done} of {of} shards"
    return "begun" if folder.exists() else None
