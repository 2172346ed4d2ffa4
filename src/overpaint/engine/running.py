"""A job from its shards to its folder."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.digests import digest
from overpaint.engine.inline import make_inline
from overpaint.engine.job import Done, Engine, Job, Made
from overpaint.engine.shard import HOPELESS, FaultError, Task, Witness, shown
from overpaint.errors import UserError
from overpaint.files import sweep, writing
from overpaint.progress import Progress
from overpaint.sealed import read_sealed, write_sealed
from overpaint.shards import missing_shards, shard_path, write_shard

if TYPE_CHECKING:
    from datasets import Features


class NothingMadeError(Exception):
    """Row after row failed, from the first on."""


def run(job: Job, engine: Engine | None = None) -> list[dict[str, Any]]:
    """Make the shards that are missing, and return the tallies of all, in order.

    The folder is the caller's alone (`Artifact.being_made`). All engines write the same bytes.
    Killed and started again, a run does what is missing, and tries again the rows that were set
    aside; a finished one without such rows opens no stage.

    Raises:
        UserError: a shard is not what was written, or cannot be written; the stage says so; the
            engine cannot be had; rows fail that could be made.
        NothingMadeError: not one row could be made, so the rows are not at fault.
        KeyboardInterrupt: as it came, with a note that says what is kept.
    """
    engine, count = engine or Engine(), len(job.shards)
    sweep(job.out)
    tasks = _tasks(job)
    if tasks:
        _make_all(job, tasks, engine)
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


def _tasks(job: Job) -> list[Task]:
    """What is to do: the shards that are missing, then those that lack rows."""
    count = len(job.shards)
    missing = unmade_shards(job.out, count)
    tasks = [Task(index, job.shards[index]) for index in missing]
    for index in sorted({*range(count)} - {*missing}):
        bad = quarantined([_tally(job.out, index, count)])
        rows = job.shards[index]
        suspects = [i for i, row in enumerate(rows) if any(shown(row) == b["row"] for b in bad)]
        if bad:
            tasks.append(Task(index, rows, tuple(suspects)))
    return tasks


def _make_all(job: Job, tasks: Sequence[Task], engine: Engine) -> None:
    """Make and write these shards."""
    count, total = len(job.shards), sum(map(len, job.shards))
    written = total - sum(len(task.rows) for task in tasks if not task.suspects)
    whole = count - sum(not task.suspects for task in tasks)
    witness = Witness(_made_before(job, tasks))
    try:
        with (
            Progress(job.title, total, written) as progress,
            closing(_make(job, tasks, witness, engine, progress.advance)) as shards,
        ):
            for index, made in _with_hope(shards, job, nothing_yet=witness.row is None):
                if _write(job, index, made):
                    written, whole = written + len(job.shards[index]), whole + 1
    except FaultError as fault:
        raise UserError(
            f"{job.title}: with {written} of {total} done every one fails, also what was made "
            f"before ({fault}): mend that and run the same command again, it goes on from there."
        ) from fault
    except KeyboardInterrupt as stop:
        stop.add_note(
            f"{job.title}: {whole} of {count} shards are finished and kept; the same command goes "
            "on with the others."
        )
        raise


def _write(job: Job, index: int, made: Made) -> bool:
    """Write a shard; whether it was missing."""
    count = len(job.shards)
    was_missing = not shard_path(job.out, index, count).exists()
    put_shard(job.out, index, count, made.rows, job.features, made.tally)
    return was_missing


def put_shard(
    out: Path,
    index: int,
    count: int,
    rows: Iterable[dict[str, Any]],
    features: Features,
    tally: dict[str, Any],
) -> None:
    """Write a shard and its tally, which `unmade_shards` looks for.

    Raises:
        UserError: they cannot be written.
    """
    beside = _tally_path(out, index, count)
    # The tally goes last: it says that both are there, and what the shard holds. So not an older one.
    with writing(beside):
        beside.unlink(missing_ok=True)
    write_shard(out, index, count, rows, features)
    write_sealed(beside, {"shard": digest(shard_path(out, index, count)), "tally": tally})


def _made_before(job: Job, tasks: Sequence[Task]) -> Any:
    """A row that an earlier run made; None where there is none."""
    left = {task.index: task for task in tasks}
    for index, rows in enumerate(job.shards):
        task = left.get(index)
        if task is None or task.suspects:
            aside = () if task is None else task.suspects
            for place, row in enumerate(rows):
                if place not in aside:
                    return row
    return None


def _with_hope(
    shards: Iterable[tuple[int, Made | None]], job: Job, *, nothing_yet: bool
) -> Iterator[tuple[int, Made]]:
    """Hold shards back until the first row is made: else an error of every row (no memory, our own
    mistake) would count as done, with nothing in it.

    Raises:
        NothingMadeError: of the first rows, or of all there are, not one was made.
    """
    held: list[tuple[int, Made]] = []
    aside: list[dict[str, Any]] = []
    for index, made in shards:
        if made is None:
            continue
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


def _make(
    job: Job, tasks: Sequence[Task], witness: Witness, engine: Engine, done: Done
) -> Generator[tuple[int, Made | None]]:
    if engine.kind == "ray":
        from overpaint.engine.on_ray import make_on_ray

        return make_on_ray(job, tasks, done, witness, engine)
    if engine.workers != 1:
        raise UserError(
            "the local engine is one worker, this process: take the ray engine for more."
        )
    return make_inline(job, tasks, done, witness)


def _tally_path(out: Path, index: int, count: int) -> Path:
    return out / "tallies" / shard_path(out, index, count).with_suffix(".json").name


def _tally(out: Path, index: int, count: int) -> dict[str, Any]:
    record = read_sealed(_tally_path(out, index, count))
    assert record is not None, "unmade_shards asks for every tally"
    return dict(record["tally"])
