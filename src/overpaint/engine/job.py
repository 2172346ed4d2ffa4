"""What an engine runs, and the engine itself, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from datasets import Features

Row: TypeAlias = Mapping[str, Any]
"""one unit of input, of plain values that can be pickled"""
Done: TypeAlias = Callable[[int], object]
"""called with a number of rows that were tried since the last call"""


@dataclass(frozen=True)
class Made:
    """What a stage makes of a shard's rows."""

    rows: list[dict[str, Any]]
    """as `shards.write_shard` takes them"""
    tally: dict[str, Any] = field(default_factory=dict)
    """JSON values: what the stage's summary needs to know of this shard"""
    aside: dict[int, str] = field(default_factory=dict)
    """why rows could not be made, by their place: those that the stage itself set aside"""


class Stage(Protocol):
    """Work on one shard, with models that were loaded when the stage was opened."""

    def __call__(self, rows: Sequence[Row], done: Done) -> Made:
        """Make one shard of `rows`, of which there may be none.

        The same rows must give the same result, whatever was made before. An error other than
        `UserError` is taken for the fault of a row, unless rows that were made before fail too; a
        `UserError` ends the run. Rows that are set aside are tried again when the job is rerun.
        """


@dataclass(frozen=True)
class Job:
    """A stage over shards, and where its output goes."""

    out: Path
    title: str
    """stands before the progress"""
    shards: Sequence[Sequence[Row]]
    """as `shards.split` gives them"""
    open_stage: Callable[[], Stage]
    """loads the models; called once in each worker, where the job arrives pickled"""
    features: Features
    """the columns of the output"""


@dataclass(frozen=True)
class Engine:
    """Where the work is done: in this process, or by `workers` actors on Ray."""

    kind: Literal["local", "ray"] = "local"
    workers: int = 1
    address: str | None = None
    """of a running Ray cluster; None starts one on this machine for as long as the run takes"""
    gpus_per_worker: float | None = None
    """share of a GPU that a worker on Ray takes; None deals the cluster's GPUs out evenly"""
