"""One shard: made whole, or less the rows that fail by themselves.

A row that fails may be at fault itself, or what it is made with is (a device that broke, a server
that is gone, a disk that is full), and then every later row fails too and must not be set aside.
The two are told apart by a row that was made before, the witness: when it fails as well, the run
stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from overpaint.engine.job import Done, Made, Row
from overpaint.errors import UserError

TRIES = 3  # of a row alone, before it is set aside
HOPELESS = 8  # rows that fail one after the other: then the witness is asked

Attempt = Callable[[Sequence[Row], Done], Made]


class WorkerDiedError(Exception):
    """The process that an attempt ran in has ended."""


class FaultError(Exception):
    """Rows that could be made before fail now; the words are the reason of the latest one."""


@dataclass
class Witness:
    """A row that was made in this run or an earlier one; shared by all workers."""

    row: Row | None = None


@dataclass(frozen=True)
class Task:
    """A shard to make; with `suspects` one that is there, less these rows (by their place)."""

    index: int
    rows: Sequence[Row]
    suspects: tuple[int, ...] = ()

    def make(self, attempt: Attempt, done: Done, witness: Witness) -> Made | None:
        """What the shard is to be; None where it may stay as it is.

        Raises:
            UserError, FaultError, Exception: as `make_shard`.
        """
        if self.suspects:
            return remake_shard(attempt, self.rows, self.suspects, witness)
        return make_shard(attempt, self.rows, done, witness)


def make_shard(
    attempt: Attempt, rows: Sequence[Row], done: Done, witness: Witness | None = None
) -> Made:
    """Make one shard of `rows` by `attempt`, which is a stage wherever it runs.

    When that fails, every row is tried alone, up to `TRIES` times; those that fail each time
    are set aside, and the shard is made of the rest. `tally["quarantined"]` then holds them,
    with their reasons. A shard whose worker died is tried once more before any row is suspected.

    Raises:
        UserError: the stage says so.
        FaultError: the rows are not at fault: one that was made before fails now.
        Exception: the rows are not at fault: the first ones all fail, or only all together.
    """
    witness = witness or Witness()
    count = _Count(len(rows), done)
    made = _outcome(attempt, rows, count)
    if isinstance(made, WorkerDiedError):
        made = _outcome(attempt, rows, count)
    if isinstance(made, Exception):
        made, aside = _make_less(attempt, rows, count, witness)
    else:
        aside = dict(made.aside)
        _note(witness, rows, aside)
        if aside:
            _ask(attempt, witness, next(reversed(aside.values())))
    if aside:
        bad = [{"row": shown(rows[i]), "reason": why} for i, why in sorted(aside.items())]
        made = Made(made.rows, {**made.tally, "quarantined": bad})
    count(count.left)
    return made


def remake_shard(
    attempt: Attempt, rows: Sequence[Row], suspects: Sequence[int], witness: Witness
) -> Made | None:
    """Make a shard again when one of the rows that were set aside can be made now, else None.

    Raises:
        UserError, FaultError, Exception: as `make_shard`.
    """
    why = ""
    for place in suspects:
        fault = _fault(attempt, rows[place])
        if fault is None:
            return make_shard(attempt, rows, lambda count: None, witness)
        why = _words(fault)
    _ask(attempt, witness, why)
    return None


def shown(row: Row) -> dict[str, Any]:
    """A row as JSON values that a person can read."""
    plain = (str, int, float, bool, type(None))
    return {
        key: value if isinstance(value, plain) else f"<{type(value).__name__}>"
        for key, value in row.items()
    }


def _make_less(
    attempt: Attempt, rows: Sequence[Row], count: Done, witness: Witness
) -> tuple[Made, dict[int, str]]:
    """The shard without the rows that fail alone, and why these do, by their place."""
    faults = _faults(attempt, rows, witness)
    left = [place for place in range(len(rows)) if place not in faults]
    if not left:
        _ask(attempt, witness, faults[len(rows) - 1])
    rest = _outcome(attempt, [rows[place] for place in left], count)
    if isinstance(rest, Exception):
        _ask(attempt, witness, _words(rest))
        raise rest
    return rest, faults | {left[place]: why for place, why in rest.aside.items()}


def _outcome(attempt: Attempt, rows: Sequence[Row], done: Done) -> Made | Exception:
    """What was made, or the error that may be the fault of a row."""
    try:
        return attempt(rows, done)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a row, the rest goes on
        return error


def _faults(attempt: Attempt, rows: Sequence[Row], witness: Witness) -> dict[int, str]:
    """Why rows cannot be made, by their place."""
    faults: dict[int, str] = {}
    running = 0  # rows that failed since the last one that did not
    for place, row in enumerate(rows):
        fault = _fault(attempt, row)
        if fault is None:
            witness.row, running = row, 0
            continue
        faults[place], running = _words(fault), running + 1
        if running == HOPELESS:
            if witness.row is None:
                raise fault if isinstance(fault, Exception) else FaultError(fault)
            _ask(attempt, witness, faults[place])
            running = 0
    return faults


def _fault(attempt: Attempt, row: Row) -> Exception | str | None:
    """Why a row fails every time; None when it can be made."""
    fault: Exception | str | None = None
    for _ in range(TRIES):
        outcome = _outcome(attempt, [row], lambda count: None)
        if isinstance(outcome, Made) and not outcome.aside:
            return None
        fault = outcome.aside[0] if isinstance(outcome, Made) else outcome
    return fault


def _ask(attempt: Attempt, witness: Witness, why: str) -> None:
    """Make sure that the witness can still be made, so that other rows may be at fault.

    Raises:
        FaultError: with the reason `why`.
    """
    if witness.row is not None and _fault(attempt, witness.row) is not None:
        raise FaultError(why)


def _note(witness: Witness, rows: Sequence[Row], aside: dict[int, str]) -> None:
    """Remember one of the rows of a shard that was made."""
    witness.row = next((row for i, row in enumerate(rows) if i not in aside), witness.row)


def _words(fault: Exception | str) -> str:
    return fault if isinstance(fault, str) else f"{type(fault).__name__}: {fault}"


class _Count:
    """Tells of every row of a shard once, however often it is tried."""

    def __init__(self, rows: int, done: Done) -> None:
        self.left, self.done = rows, done

    def __call__(self, count: int) -> None:
        """Tell of `count` rows more, or of those that are left."""
        count = min(count, self.left)
        self.left -= count
        if count:
            self.done(count)
