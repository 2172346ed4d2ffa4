"""The number of threads of a run of training.

Floating-point sums depend on how they are cut into parts, and libraries cut them by the number of
threads. Training takes as many as torch would (a machine's cores), writes the number into each
checkpoint, and goes on with that number wherever the run is resumed: so it ends in the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from overpaint.training.checkpoints import Damaged, list_checkpoints, read_state

THREADS = "threads"  # of a checkpoint's `extra`


@contextmanager
def threads_of_run(checkpoints: Path) -> Iterator[int]:
    """Have torch compute with as many threads as the run with these checkpoints began with."""
    before = torch.get_num_threads()
    torch.set_num_threads(_recorded(checkpoints) or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def _recorded(checkpoints: Path) -> int | None:
    """What the newest checkpoint says that can be read; None where none does."""
    for path in reversed(list_checkpoints(checkpoints)):
        try:
            number = read_state(path)["extra"].get(THREADS)
        except Damaged:
            continue
        return number if isinstance(number, int) and number > 0 else None
    return None
