"""A job from its shards to its folder."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from overpaint.claims import claimed
from overpaint.engine.inline import make_inline
from overpaint.engine.job import Done, Engine, Job, Made
from overpaint.errors import UserError
from overpaint.files import write_json
from overpaint.progress import Progress
from overpaint.shards import missing_shards, shard_path, write_shard


def run(job: Job, engine: Engine | None = None) -> list[dict[str, Any]]:
    """Make the shards that are missing, and return the tallies of all, in order.

    All engines write the same bytes. Killed and started again, a run does what is missing; a
    finished one opens no stage.

    Raises:
        UserError: the folder belongs to something else or to another process, or cannot be
            written; the stage says so; the engine cannot be had.
    """
    engine, count = engine or Engine(), len(job.shards)
    with claimed(job.out, job.record):
        missing = missing_shards(job.out, count)
        if missing:
            total = sum(map(len, job.shards))
            done = total - sum(len(job.shards[index]) for index in missing)
            with (
                Progress(job.title, total, done) as progress,
                closing(_make(job, missing, engine, progress.advance)) as shards,
            ):
                for index, made in shards:
                    # The tally goes first: the shard is what says that both are there.
                    write_json(_tally_path(job.out, index, count), made.tally)
                    write_shard(job.out, index, count, made.rows, job.features)
        return [_read_tally(_tally_path(job.out, index, count)) for index in range(count)]


def quarantined(tallies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that were set aside, {"row": ..., "reason": ...}, over all shards."""
    return [row for tally in tallies for row in tally.get("quarantined", [])]


def _make(job: Job, missing: list[int], engine: Engine, done: Done) -> Generator[tuple[int, Made]]:
    if engine.kind == "ray":
        from overpaint.engine.on_ray import make_on_ray

        return make_on_ray(job, missing, done, engine)
    if engine.workers != 1:
        raise UserError(
            "the local engine is one worker, this process: take the ray engine for more."
        )
    return make_inline(job, missing, done)


def _tally_path(out: Path, index: int, count: int) -> Path:
    return out / "tallies" / shard_path(out, index, count).with_suffix(".json").name


def _read_tally(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path}: delete the shard of that name, and run the same command again."
        ) from error
