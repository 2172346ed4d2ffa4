"""A job from its shards to its folder."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from overpaint.digests import digest
from overpaint.engine.inline import make_inline
from overpaint.engine.job import Done, Engine, Job, Made
from overpaint.engine.shard import HOPELESS
from overpaint.errors import UserError
from overpaint.progress import Progress
from overpaint.sealed import read_sealed, write_sealed
from overpaint.shards import missing_shards, shard_path, write_shard


class NothingMadeError(Exception):
    """Row after row failed, from the first on."""


def run(job: Job, engine: Engine | None = None) -> list[dict[str, Any]]:
    """Make the shards that are missing, and return the tallies of all, in order.

    The folder is the caller's alone (`Artifact.being_made`). All engines write the same bytes.
    Killed and started again, a run does what is missing; a finished one opens no stage.

    Raises:
        UserError: a shard is not what was written, or cannot be written; the stage says so; the
            engine cannot be had.
        NothingMadeError: not one row could be made, so the rows are not at fault.
    """
    engine, count = engine or Engine(), len(job.shards)
    _sweep(job.out)
    missing = unmade_shards(job.out, count)
    if missing:
        total = sum(map(len, job.shards))
        done = total - sum(len(job.shards[index]) for index in missing)
        with (
            Progress(job.title, total, done) as progress,
            closing(_make(job, missing, engine, progress.advance)) as shards,
        ):
            for index, made in _with_hope(shards, job, nothing_yet=len(missing) == count):
                # The tally goes last: it says that both are there, and what the shard holds.
                write_shard(job.out, index, count, made.rows, job.features)
                record = {"shard": digest(shard_path(job.out, index, count)), "tally": made.tally}
                write_sealed(_tally_path(job.out, index, count), record)
    return [_tally(job.out, index, count) for index in range(count)]


def unmade_shards(out: Path, count: int) -> list[int]:
    """The shards that are not there, or lack the tally that says what they hold.

    Raises:
        UserError: a shard holds something else than what was written.
    """
    absent = set(missing_shards(out, count))
    return [i for i in range(count) if i in absent or not _is_made(out, i, count)]


def _is_made(out: Path, index: int, count: int) -> bool:
    path = shard_path(out, index, count)
    try:
        record = read_sealed(_tally_path(out, index, count))
    except UserError:
        return False  # a broken tally is made again with its shard
    if record is None:
        return False
    if record["shard"] != digest(path):
        raise UserError(
            f"{path} is not what was written there: delete it, and run the same command again."
        )
    return True


def quarantined(tallies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that were set aside, {"row": ..., "reason": ...}, over all shards."""
    return [row for tally in tallies for row in tally.get("quarantined", [])]


def _with_hope(
    shards: Iterable[tuple[int, Made]], job: Job, *, nothing_yet: bool
) -> Iterator[tuple[int, Made]]:
    """Hold shards back until the first row is made: else an error of every row (no memory, our own
    mistake) would count as done, with nothing in it.

    Raises:
        NothingMadeError: of the first rows, or of all there are, not one was made.
    """
    held: list[tuple[int, Made]] = []
    aside: list[dict[str, Any]] = []
    for index, made in shards:
        held.append((index, made))
        if nothing_yet:
            bad = quarantined([made.tally])
            aside += bad
            nothing_yet = len(bad) == len(job.shards[index])
        if nothing_yet and len(aside) >= HOPELESS:
            break
        if not nothing_yet:
            yield from held
            held = []
    if aside and nothing_yet:
        raise NothingMadeError(
            f"not one of {len(aside)} {job.title} could be made; the first failed with "
            f"{aside[0]['reason']}"
        )
    yield from held


def _make(job: Job, missing: list[int], engine: Engine, done: Done) -> Generator[tuple[int, Made]]:
    if engine.kind == "ray":
        from overpaint.engine.on_ray import make_on_ray

        return make_on_ray(job, missing, done, engine)
    if engine.workers != 1:
        raise UserError(
            "the local engine is one worker, this process: take the ray engine for more."
        )
    return make_inline(job, missing, done)


def _sweep(out: Path) -> None:
    """Delete what a kill left half written; the folder is ours alone here."""
    for folder in ("data", "tallies"):
        for path in (out / folder).glob(".train-*"):
            path.unlink(missing_ok=True)


def _tally_path(out: Path, index: int, count: int) -> Path:
    return out / "tallies" / shard_path(out, index, count).with_suffix(".json").name


def _tally(out: Path, index: int, count: int) -> dict[str, Any]:
    record = read_sealed(_tally_path(out, index, count))
    assert record is not None, "unmade_shards asks for every tally"
    return dict(record["tally"])
