"""The log of a run: one JSON object a line, never two for the same step of a metric.

What else is to see the metrics (TensorBoard, say) is a class like `JsonLog` and its line in
`TRACKERS`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from overpaint.files import cannot_write, parse_json, write_atomic


class Tracker(Protocol):
    """Whatever sees the metrics of a run; it is made with the run's folder."""

    def truncate(self, step: int) -> None:
        """Forget what came after `step`: it will be written again."""

    def write(self, step: int, metrics: dict[str, Any]) -> None:
        """Metrics after `step` optimizer steps."""

    def flush(self) -> None:
        """Make the disk hold what was written; called before a checkpoint that stands on it."""


class JsonLog:
    """`log.jsonl`: each line holds `step` (optimizer steps done) and metrics."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.jsonl"

    def truncate(self, step: int) -> None:
        """Keep the lines up to `step`: what came later will be logged again.

        A torn last line (the process was killed while writing) goes too.
        """
        if not self.path.exists():
            return
        kept = [line for line in read_log(self.path) if line["step"] <= step]
        write_atomic(self.path, "".join(_line(k) for k in kept).encode())

    def write(self, step: int, metrics: dict[str, Any]) -> None:
        """Append one line.

        Raises:
            UserError: the log cannot be written (a full disk, say).
        """
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(_line({"step": step, **metrics}))
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def flush(self) -> None:
        """Make the disk hold the log; called before a checkpoint that stands on it."""
        if self.path.exists():
            with self.path.open("a") as stream:
                os.fsync(stream.fileno())


TRACKERS: tuple[Callable[[Path], Tracker], ...] = (JsonLog,)


class Log:
    """All `TRACKERS` of a run, as one."""

    def __init__(self, folder: Path) -> None:
        self.trackers = [open_tracker(folder) for open_tracker in TRACKERS]

    def truncate(self, step: int) -> None:
        """See `Tracker`."""
        for tracker in self.trackers:
            tracker.truncate(step)

    def write(self, step: int, metrics: dict[str, Any]) -> None:
        """See `Tracker`."""
        for tracker in self.trackers:
            tracker.write(step, metrics)

    def flush(self) -> None:
        """See `Tracker`."""
        for tracker in self.trackers:
            tracker.flush()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log, in order; a line that is not JSON is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            lines.append(parse_json(line))
        except ValueError:
            continue
    return [line for line in lines if isinstance(line, dict) and "step" in line]


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values) + "\n"
