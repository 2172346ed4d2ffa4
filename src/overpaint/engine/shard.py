"""One shard: made whole, or less the rows that fail by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from overpaint.engine.job import Done, Made, Row
from overpaint.errors import UserError

TRIES = 3  # of a row alone, before it is set aside
HOPELESS = 8  # rows that fail from a shard's first on: then it is not the rows' fault

Attempt = Callable[[Sequence[Row], Done], Made]


class WorkerDiedError(Exception):
    """The process that an attempt ran in has ended."""


def make_shard(attempt: Attempt, rows: Sequence[Row], done: Done) -> Made:
    """Make one shard of `rows` by `attempt`, which is a stage wherever it runs.

    When that fails, every row is tried alone, up to `TRIES` times; those that fail each time
    are set aside, and the shard is made of the rest. `tally["quarantined"]` then holds them,
    with their reasons. A shard whose worker died is tried once more before any row is suspected.

    Raises:
        UserError: the stage says so.
        Exception: the rows are not at fault: nearly all fail, or the rest fails again.
    """
    count = _Count(len(rows), done)
    made = _outcome(attempt, rows, count)
    if isinstance(made, WorkerDiedError):
        made = _outcome(attempt, rows, count)
    if isinstance(made, Exception):
        faults = _faults(attempt, rows)
        made = attempt([row for index, row in enumerate(rows) if index not in faults], count)
        if faults:
            aside = [{"row": _shown(rows[i]), "reason": why} for i, why in faults.items()]
            made = Made(made.rows, {**made.tally, "quarantined": aside})
    count(count.left)
    return made


def _outcome(attempt: Attempt, rows: Sequence[Row], done: Done) -> Made | Exception:
    """What was made, or the error that may be the fault of a row."""
    try:
        return attempt(rows, done)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a row, the rest goes on
        return error


def _faults(attempt: Attempt, rows: Sequence[Row]) -> dict[int, str]:
    """Why rows cannot be made, by their place."""
    faults: dict[int, str] = {}
    for index, row in enumerate(rows):
        error = _fault(attempt, row)
        if error is None:
            continue
        faults[index] = f"{type(error).__name__}: {error}"
        if len(faults) == index + 1 == HOPELESS:
            raise error
    return faults


def _fault(attempt: Attempt, row: Row) -> Exception | None:
    """The error of a row that fails every time."""
    error = None
    for _ in range(TRIES):
        outcome = _outcome(attempt, [row], lambda count: None)
        if isinstance(outcome, Made):
            return None
        error = outcome
    return error


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


def _shown(row: Row) -> dict[str, Any]:
    """A row as JSON values that a person can read."""
    plain = (str, int, float, bool, type(None))
    return {
        key: value if isinstance(value, plain) else f"<{type(value).__name__}>"
        for key, value in row.items()
    }
