"""The options of every command that works through shards."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from overpaint.engine import Engine


class EngineKind(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


EngineOption = Annotated[
    EngineKind | None,
    typer.Option(
        "--engine",
        help="local: this process; ray: workers on the Ray cluster at RAY_ADDRESS, or on one "
        "started here for this command. Same bytes from both. [default: the recipe's, or local]",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Workers on Ray. [default: the recipe's, or 1]"),
]


def read_engine(
    kind: EngineKind | None, workers: int | None, recipe: Path | None, overrides: Sequence[str]
) -> Engine:
    """The engine that is asked for; what is not said is taken from the recipe under `--set`.

    Raises:
        UserError: the recipe cannot be read.
    """
    from overpaint.engine import Engine
    from overpaint.recipe import read_head

    head = read_head(recipe, overrides)
    chosen = head.engine if kind is None else kind.value
    return Engine(chosen, workers or (head.workers if chosen == head.engine else 1))
