"""The engine that a command's options and its recipe ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from overpaint.cli._options import EngineKind

if TYPE_CHECKING:
    from overpaint.engine import Engine


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
    chosen = kind or head.engine
    return Engine(
        chosen,
        workers or (head.workers if chosen == head.engine else 1),
        gpus_per_worker=head.gpus_per_worker,
    )
