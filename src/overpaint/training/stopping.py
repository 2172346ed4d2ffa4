"""Ctrl-C and SIGTERM while the loop runs: they take effect between two steps.

In the middle of a step some weights may be updated and others not, so a checkpoint of that moment
would be of no use.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Wish:
    """Whether somebody wants the run to stop, and by which signal."""

    signal: int | None = None


@contextmanager
def waiting_for_stops() -> Iterator[Wish]:
    """Remember SIGINT and SIGTERM while the block runs; a second Ctrl-C interrupts it at once.

    When the block has ended, who handled the signal before gets it: by default Ctrl-C raises
    KeyboardInterrupt and SIGTERM ends the process.

    A signal that the process ignores (Ctrl-C in a background job) stays ignored. Only the main
    thread can do this; in another one signals stay with those who handle them.
    """
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return

    def remember(number: int, frame: FrameType | None) -> None:
        if wish.signal == number == signal.SIGINT:
            raise KeyboardInterrupt
        wish.signal = number

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # None: set by other means than Python, which cannot be put back.
    ours = [n for n, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for number in ours:
            signal.signal(number, remember)
        yield wish
    finally:
        for number in ours:
            signal.signal(number, before[number])
    if wish.signal is not None:
        signal.raise_signal(wish.signal)
        raise KeyboardInterrupt  # that handler let it pass
