"""Shards one after the other, in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from overpaint.engine.job import Done, Job, Made
from overpaint.engine.shard import Task, Witness
from overpaint.engine.threads import fixed_threads


def make_inline(
    job: Job, tasks: Sequence[Task], done: Done, witness: Witness
) -> Generator[tuple[int, Made | None]]:
    """Yield (index, what was made) for each of these shards of the job, in order."""
    with fixed_threads():
        stage = job.open_stage()
        for task in tasks:
            yield task.index, task.make(stage, done, witness)
