"""Shards one after the other, in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from overpaint.engine.job import Done, Job, Made
from overpaint.engine.shard import make_shard
from overpaint.engine.threads import fixed_threads


def make_inline(job: Job, indices: Sequence[int], done: Done) -> Generator[tuple[int, Made]]:
    """Yield (index, what was made) for each of these shards of the job, in order."""
    with fixed_threads():
        stage = job.open_stage()
        for index in indices:
            yield index, make_shard(stage, job.shards[index], done)
