"""What a recipe will cost before it starts: rows, evaluations of networks, disk and hours.

A stage's seconds and bytes are taken to be linear in what it has to do,

    fixed + rows * (cost of a row) + evaluations * (cost of an evaluation)

where a row is a triplet, a pair or a case, and an evaluation is one sample going through the network
once: rows x branches of the guidance x steps. `trial` measures some points of that line.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from overpaint.diffusion.guidance import edit_asks, plan_branches
from overpaint.errors import UserError
from overpaint.evaluation.settings import SCENES, EvaluateSettings
from overpaint.instruct.settings import InstructSettings
from overpaint.pairs.settings import PairsSettings
from overpaint.recipe import Recipe
from overpaint.runs.stages import Evaluate, Instruct, Pairs, RunStage, Train
from overpaint.training.settings import TrainSettings


@dataclass(frozen=True)
class Amount:
    """How much a stage has to do: rows, and evaluations of its network (samples x passes)."""

    rows: int
    evaluations: int


@dataclass(frozen=True)
class Trial:
    """What a small run of a stage took: `seconds`, and `megabytes` on disk."""

    amount: Amount
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Cost:
    """What one stage costs; None where it is not known.

    `rows` and `evaluations` are those of the whole stage, at most (nobody knows yet which rows pass);
    `done` is the share of it that is there; `megabytes` is the disk that it takes in the end; `hours`
    is what is left to do.
    """

    stage: str
    done: float
    rows: int | None
    evaluations: int | None
    megabytes: float | None = None
    hours: float | None = None
    note: str = ""


def amounts(recipe: Recipe, stages: Mapping[str, RunStage]) -> dict[str, Amount | None]:
    """What every stage has to do, at most; None where its input cannot be known yet."""
    found: dict[str, Amount | None] = {}
    triplets: int | None = None
    pairs: int | None = None
    for name, stage in stages.items():
        settings: Any = getattr(recipe, name)
        rows = _rows_to_read(stage)
        if name == "instruct":
            found[name] = written = of_instruct(settings, rows)
            triplets = written.rows if written else None
        elif name == "pairs":
            triplets = rows or triplets
            found[name] = of_pairs(settings, triplets) if triplets else None
            pairs = triplets * settings.keep if triplets else None
        elif name == "train":
            found[name] = of_train(settings, rows or pairs)
        else:
            found[name] = of_evaluate(settings, rows, getattr(recipe, "train", None))
    return found


def _rows_to_read(stage: RunStage) -> int | None:
    """How many rows a stage finds to read; None where they are not there or not whole yet."""
    from overpaint.evaluation.stage import find_cases
    from overpaint.instruct.generation import usable_captions
    from overpaint.pairs.stage import usable_rows
    from overpaint.shards import read_pairs

    try:
        match stage:
            case Instruct(InstructSettings(captions=str(source))):
                return len(usable_captions(source)[0])
            case Instruct():
                return stage.settings.scenes
            case Pairs() if stage.source.is_dir():
                return len(usable_rows(stage.source)[0])
            case Train() if stage.source.is_dir():
                return len(read_pairs(stage.source))
            case Evaluate(EvaluateSettings(pairs=str())):
                return find_cases(stage.settings).count
    except UserError:
        return None
    return None


def of_instruct(settings: InstructSettings, captions: int | None) -> Amount | None:
    """Triplets asked for; an evaluation is a token of an answer, of which there may be fewer."""
    if captions is None:
        return None
    rows = captions * settings.generate.per_caption
    return Amount(rows, rows * settings.generate.max_new_tokens)


def of_pairs(settings: PairsSettings, triplets: int) -> Amount:
    """Triplets; the source and the candidates, or with Prompt-to-Prompt candidates of two pictures."""
    both = settings.method == "prompt-to-prompt"
    pictures = 2 * settings.per_row if both else 1 + settings.per_row
    branches = 1 if settings.guidance_scale == (1.0, 1.0) else 2
    steps = settings.num_inference_steps
    return Amount(triplets, triplets * pictures * branches * steps)


def of_train(settings: TrainSettings, pairs: int | None) -> Amount:
    """Pairs (that are encoded once), and samples that go forward and back through the network."""
    samples = settings.batch_size * settings.gradient_accumulation_steps
    return Amount(pairs or 0, settings.steps * samples)


def of_evaluate(
    settings: EvaluateSettings, pairs: int | None, train: TrainSettings | None
) -> Amount | None:
    """Cases of all models and of the curve; None where the pairs cannot be read yet."""
    cases = pairs if settings.pairs is not None else settings.scenes or SCENES
    if cases is None:
        return None
    models = len({*settings.against, "model"})
    defaults = train or TrainSettings()
    steps = settings.num_inference_steps or defaults.num_inference_steps
    text = _first(settings.guidance_scale, defaults.guidance_scale)
    image = _first(settings.image_guidance_scale, defaults.image_guidance_scale)
    asked = [(cases, (text, image))]
    if settings.curve:
        points = itertools.product(
            settings.curve_text_scales or (text,), settings.curve_image_scales
        )
        asked += [(min(cases, settings.curve_cases), scales) for scales in points]
    rows = models * sum(count for count, _ in asked)
    branches = sum(count * len(plan_branches([edit_asks(*scales)])) for count, scales in asked)
    return Amount(rows, models * branches * steps)


def _first(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def fit(trials: Sequence[Trial], attribute: str) -> np.ndarray:
    """(3,) costs of: the stage itself, a row, an evaluation. None of them is below zero.

    Least squares over every choice of costs that are not zero; the best one without a negative cost.
    """
    matrix = np.array([[1, t.amount.rows, t.amount.evaluations] for t in trials], dtype=float)
    values = np.array([getattr(trial, attribute) for trial in trials], dtype=float)
    best, least = np.zeros(3), float(np.sum(values**2))
    for columns in (c for n in (1, 2, 3) for c in itertools.combinations(range(3), n)):
        found = np.linalg.lstsq(matrix[:, columns], values, rcond=None)[0]
        error = float(np.sum((matrix[:, columns] @ found - values) ** 2))
        if found.min() >= 0 and error < least * (1 - 1e-9):
            best, least = np.zeros(3), error
            best[list(columns)] = found
    return best


def cost_of(name: str, done: float, amount: Amount | None, trials: Sequence[Trial]) -> Cost:
    """The cost of a stage from its amount and the trials of it, of which there may be none."""
    if amount is None:
        return Cost(name, done, None, None)
    whole = Cost(name, done, amount.rows, amount.evaluations)
    if not trials:
        return whole
    columns = np.array([1, amount.rows, amount.evaluations], dtype=float)
    left = np.array([1, (1 - done) * amount.rows, (1 - done) * amount.evaluations])
    hours = float(left @ fit(trials, "seconds")) / 3600
    megabytes = float(columns @ fit(trials, "megabytes"))
    return Cost(name, done, amount.rows, amount.evaluations, megabytes, hours)


def table(costs: Sequence[Cost]) -> str:
    """The costs for a terminal: a line a stage, the sums, and the notes below."""
    head = ("stage", "done", "rows", "evaluations", "MB", "hours left")
    rows = [head, *(_cells(cost) for cost in costs), _cells(total(costs))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([*lines, *(f"{cost.stage}: {cost.note}" for cost in costs if cost.note)])


def total(costs: Sequence[Cost]) -> Cost:
    """The sums over the stages; None where a stage's share is not known."""
    return Cost(
        "all",
        sum(cost.done for cost in costs) / max(1, len(costs)),
        None,
        None,
        _sum(cost.megabytes for cost in costs),
        _sum(cost.hours for cost in costs),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def _cells(cost: Cost) -> tuple[str, ...]:
    def shown(value: float | None, digits: int = 0) -> str:
        return "-" if value is None else f"{value:,.{digits}f}"

    amount = (shown(cost.rows), shown(cost.evaluations))
    return (
        *(cost.stage, f"{100 * cost.done:.0f} %", *amount),
        *(shown(cost.megabytes, 1), shown(cost.hours, 2)),
    )


def as_json(costs: Sequence[Cost]) -> dict[str, Any]:
    """The costs as JSON values."""
    sums = total(costs)
    return {
        "stages": [asdict(cost) for cost in costs],
        "megabytes": sums.megabytes,
        "hours": sums.hours,
    }
