"""Ctrl-C and SIGTERM: the first one stops the command where it is, a second one the process."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Within the block, the first of the two signals raises KeyboardInterrupt in the main thread.

    A stage that is interrupted cleans up as the error passes through it, and says with
    `error.add_note("...")` what it kept. From then on both signals end the process at once.
    Processes forked within the block end at the first one.
    """

    def __init__(self) -> None:
        self.error: KeyboardInterrupt | None = None
        self._number = signal.SIGINT
        self._process = os.getpid()
        self._before: dict[signal.Signals, Any] = {}

    @property
    def exit_code(self) -> int:
        """As a shell reports it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self._number

    @property
    def sentence(self) -> str:
        """What happened, and what the stage said was kept."""
        what = "interrupted" if self._number == signal.SIGINT else "stopped by SIGTERM"
        kept = " ".join(getattr(self.error, "__notes__", ()))
        return f"{what}: {kept or 'what was finished is kept, and no file is half written.'}"

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:  # so `nohup` and the like ask for it
                    self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        for known in self._before:
            signal.signal(known, signal.SIG_DFL)
        if os.getpid() != self._process:
            os.kill(os.getpid(), number)
            return
        self._number = signal.Signals(number)
        self.error = KeyboardInterrupt()
        raise self.error
