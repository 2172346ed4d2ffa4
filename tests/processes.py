"""Processes of their own, without the seconds that each would need to import torch.

They are forked from one that has imported everything and computed nothing.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess

IMPORTED = [
    "overpaint.evaluation.from_settings",
    "overpaint.pairs.stage",
    "overpaint.runs.running",
    "overpaint.training.editor",
    "overpaint.training.loop",
]


def started(target: Callable[..., object], *arguments: object) -> ForkServerProcess:
    """A process that runs a function of a module of the tests; the caller joins it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=target, args=arguments)
    process.start()
    return process
