"""The log of a run: one JSON object a line, never two for the same step of a metric."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from overpaint.files import cannot_write, parse_json, write_atomic


class Log:
    """`log.jsonl`: each line holds `step` (optimizer steps done) and metrics."""

    def __init__(self, path: Path) -> None:
        self.path = path

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
