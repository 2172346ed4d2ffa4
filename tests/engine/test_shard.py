"""A shard whose worker dies: once is chance, and a row that does it every time is set aside."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from overpaint.engine import Done, Made, Row
from overpaint.engine.shard import HOPELESS, WorkerDiedError, make_shard

ROWS = [{"n": n, "picture": b"..."} for n in range(4)]


class Deaths:
    """An attempt that dies at a number, so many times."""

    def __init__(self, number: int, times: int) -> None:
        self.number, self.left = number, times
        self.calls: list[list[int]] = []

    def __call__(self, rows: Sequence[Row], done: Done) -> Made:
        numbers = [row["n"] for row in rows]
        self.calls.append(numbers)
        if self.number in numbers and self.left:
            self.left -= 1
            raise WorkerDiedError("the process of its worker died")
        done(len(rows))
        return Made([dict(row) for row in rows], {"seen": len(rows)})


def test_a_dead_worker_casts_no_suspicion_on_rows() -> None:
    attempt, told = Deaths(2, times=1), []
    assert make_shard(attempt, ROWS, told.append).rows == ROWS
    assert attempt.calls == [[0, 1, 2, 3]] * 2
    assert told == [4]


def test_a_row_that_kills_every_worker_is_set_aside() -> None:
    attempt, told = Deaths(2, times=9), []
    made = make_shard(attempt, ROWS, told.append)
    assert attempt.calls == [*[[0, 1, 2, 3]] * 2, [0], [1], [2], [2], [2], [3], [0, 1, 3]]
    assert [row["n"] for row in made.rows] == [0, 1, 3]
    assert made.tally == {
        "seen": 3,
        "quarantined": [
            {
                "row": {"n": 2, "picture": "<bytes>"},
                "reason": "WorkerDiedError: the process of its worker died",
            }
        ],
    }
    assert sum(told) == 4


def test_a_shard_of_nothing_but_bad_rows_is_given_up_early() -> None:
    class AllBad(Deaths):
        def __call__(self, rows: Sequence[Row], done: Done) -> Made:
            self.calls.append([row["n"] for row in rows])
            raise MemoryError("out of memory")

    attempt = AllBad(0, 0)
    with pytest.raises(MemoryError):
        make_shard(attempt, [{"n": n} for n in range(100)], lambda count: None)
    assert len(attempt.calls) == 1 + 3 * HOPELESS
