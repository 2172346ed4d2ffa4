"""Processes of their own, without the seconds that each would need to import torch.

They are forked from one that has imported everything and computed nothing.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from overpaint.cli import main

IMPORTED = [
    "overpaint.evaluation.stage",
    "overpaint.instruct.sources",
    "overpaint.pairs.stage",
    "overpaint.runs.run",
    "overpaint.training.editor",
    "overpaint.training.loop",
]


def started(target: Callable[..., object], *arguments: object) -> ForkServerProcess:
    """A process that runs a function of a module of the tests; the caller joins it."""
    assert all(find_spec(name) for name in IMPORTED), "what is not found is left out in silence"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def run_command(words: list[str], log: str) -> None:
    """What such a process does for a command: its stderr goes into a file, its code is returned."""
    # The tests may run as a background job, where a shell has Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Path(log).open("w") as stream:
        sys.stderr = stream
        code = main(words)
    sys.exit(code)
