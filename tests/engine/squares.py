"""A job over numbers for the tests of the engines, in a module that workers can import."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from overpaint.artifact import Artifact
from overpaint.engine import Done, Engine, Job, Made, Row, run
from overpaint.errors import UserError
from overpaint.shards import row_key, split


@dataclass(frozen=True)
class Square:
    """Squares `n`, and notes every call in a file; some rows make trouble."""

    notes: Path

    def __call__(self, rows: Sequence[Row], done: Done) -> Made:
        with self.notes.open("a") as stream:  # appending a short line is atomic
            stream.write(f"{os.getpid()} {','.join(str(row['n']) for row in rows)}\n")
        made = []
        for row in rows:
            self._trouble(row)
            made.append({"n": row["n"], "square": row["n"] ** 2})
            done(1)
        return Made(made, {"seen": len(rows), "sum": sum(row["n"] for row in made)})

    def _trouble(self, row: Row) -> None:
        trouble, mark = row["trouble"], self.notes.with_name(f"{row['n']}.mark")
        first = trouble is not None and not mark.exists()
        if first:
            mark.touch()
        if trouble == "bad" or (trouble == "bad once" and first):
            raise ValueError(f"{row['n']} is a bad number")
        broken = self.notes.with_name("broken")
        if trouble == "breaks" and first:
            broken.touch()
        if broken.exists():
            raise RuntimeError("the device is gone")
        if trouble == "unmended" and not self.notes.with_name("mended").exists():
            raise ValueError(f"{row['n']} is not mended")
        if trouble == "user":
            raise UserError("the model for squares is not here: install it.")
        if trouble == "kill" or (trouble == "kill once" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble == "slow":
            time.sleep(60)


def squares(
    folder: Path,
    name: str = "out",
    trouble: Mapping[int, str] | None = None,
    count: int = 40,
    **changes: Any,
) -> Job:
    """A job of `count` numbers in five shards; `trouble` says which of them make some."""
    from datasets import Features, Value

    rows = [{"n": n, "trouble": (trouble or {}).get(n)} for n in range(count)]
    values = {
        "out": folder / name,
        "title": "squares",
        "shards": split(rows, lambda row: row_key(str(row["n"])), -(-count // 5)),
        "open_stage": partial(Square, folder / f"{name}.notes"),
        "features": Features({"n": Value("int64"), "square": Value("int64")}),
        **changes,
    }
    return Job(**values)


def in_shards_of(size: int, trouble: Mapping[int, str]) -> list[list[dict[str, Any]]]:
    """Forty numbers in their order, `size` in each shard."""
    rows = [{"n": n, "trouble": trouble.get(n)} for n in range(40)]
    return [rows[start : start + size] for start in range(0, 40, size)]


@dataclass(frozen=True)
class Threads:
    """Says with how many threads it computes, of torch and of the libraries of numpy."""

    def __call__(self, rows: Sequence[Row], done: Done) -> Made:
        import torch
        from threadpoolctl import threadpool_info

        numbers = {torch.get_num_threads()} | {pool["num_threads"] for pool in threadpool_info()}
        return Made([{"n": n, "square": 0} for n in sorted(numbers)])


def calls(job: Job) -> list[tuple[int, str]]:
    """(process, numbers) of every call of a job's stage."""
    notes = job.out.with_name(f"{job.out.name}.notes")
    lines = [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []
    return [(int(line[0]), line[1] if len(line) > 1 else "") for line in lines]


def whole_shards(job: Job) -> list[str]:
    """The numbers of each shard, as `calls` gives them when it is made whole."""
    return [",".join(str(row["n"]) for row in shard) for shard in job.shards]


if __name__ == "__main__":
    slow = squares(Path(sys.argv[1]), trouble={17: "slow"})
    with Artifact(slow.out, {"numbers": 40}).being_made():
        run(slow, Engine(*sys.argv[2:]))
