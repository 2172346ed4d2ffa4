"""The options of every command that works through shards."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

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
        help="local: in this process; ray: by workers on Ray, of the cluster at RAY_ADDRESS or "
        "started for this run. Same bytes from both. [default: the recipe's, or else local]",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Workers of the ray engine. [default: 1]"),
]


def read_engine(
    kind: EngineKind | None, workers: int | None, of_recipe: Literal["local", "ray"] = "local"
) -> Engine:
    """The engine that is asked for, or else the recipe's."""
    from overpaint.engine import Engine

    return Engine(of_recipe if kind is None else kind.value, workers or 1)
