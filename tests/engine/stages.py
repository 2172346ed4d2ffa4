"""Stages for the tests of the engines; in a module of its own, so that workers can import it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overpaint.engine import Done, Made, Row
from overpaint.errors import UserError


@dataclass(frozen=True)
class Square:
    """Squares `n`, and notes every call in a file; some rows make trouble."""

    notes: Path

    def __call__(self, rows: Sequence[Row], done: Done) -> Made:
        with self.notes.open("a") as stream:  # appending a short line is atomic
            stream.write(f"{os.getpid()} {len(rows)} {','.join(str(row['n']) for row in rows)}\n")
        made = []
        for row in rows:
            self._trouble(row)
            made.append({"n": row["n"], "square": row["n"] ** 2})
            done(1)
        return Made(made, {"seen": len(rows), "sum": sum(row["n"] for row in made)})

    def _trouble(self, row: Row) -> None:
        trouble, mark = row.get("trouble"), self.notes.with_name(f"{row['n']}.mark")
        if trouble == "bad":
            raise ValueError(f"{row['n']} is a bad number")
        if trouble == "user":
            raise UserError("the model for squares is not here: install it.")
        if trouble == "once" and not mark.exists():
            mark.touch()
            raise OSError("a hiccup")
        if trouble == "kill once" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble == "slow":
            time.sleep(0.05)
