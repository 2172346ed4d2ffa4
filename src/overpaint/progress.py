"""Progress on stderr: a bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from overpaint.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 10.0


def track(iterable: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield the items of `iterable` and show how many were done, the rate and the time left.

    `total` is taken from `len(iterable)` where that is known and `total` is not given.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Progress(description, total) as progress:
        for item in iterable:
            yield item
            progress.advance()


class Progress:
    """Shows on stderr how far a piece of work is.

        with Progress("train", total=2500, done=start) as progress:
            ...
            progress.advance(1, "loss 0.12")

    `done` is what an earlier run had finished; it counts for the position, not for the rate.
    """

    def __init__(self, description: str, total: int | None = None, done: int = 0) -> None:
        self.description = printable(description)
        self.total = total
        self.done = done
        self._start = done
        self._note = ""
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        self._began = self._last_line = time.monotonic()
        self._printed = -1
        if sys.stderr.isatty():
            self._bar = _rich_bar()
            self._task = self._bar.add_task(
                self.description, total=self.total, completed=self.done, note="", rate=""
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None and self._printed != self.done:
            self._print_line()

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count `count` more units as done; `note` (a metric, say) replaces the last one."""
        self.done += count
        self._note = self._note if note is None else printable(note)
        if self._bar is not None and self._task is not None:
            rate = _rate(self._per_second(time.monotonic()))
            self._bar.update(self._task, completed=self.done, note=self._note, rate=rate)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._print_line()

    def _print_line(self) -> None:
        self._last_line = time.monotonic()
        self._printed = self.done
        print(self._line(self._per_second(self._last_line)), file=sys.stderr, flush=True)

    def _per_second(self, now: float) -> float:
        return (self.done - self._start) / max(now - self._began, 1e-9)

    def _line(self, rate: float) -> str:
        """The plain line at `rate` units a second."""
        of = "" if self.total is None else f"/{self.total}"
        words = [f"{self.description}: {self.done}{of}", _rate(rate)]
        if self.total is not None and rate > 0 and self.done < self.total:
            words.append(f"{_clock((self.total - self.done) / rate)} left")
        if self._note:
            words.append(self._note)
        return ", ".join(words)


def _rate(per_second: float) -> str:
    if 0 < per_second < 1:
        return f"{1 / per_second:.1f} s each"
    return f"{per_second:.1f}/s"


def _clock(seconds: float) -> str:
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def _rich_bar() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
    )
