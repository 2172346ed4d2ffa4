"""The number of threads that a worker computes with.

Floating-point sums depend on how they are cut into parts, and libraries cut them by the number
of threads: nano's edited pictures differ between one thread and two, as do numpy's products.
So that a shard has the same bytes on any machine with the same kind of processor, in one
process or in many, every worker computes with the same number; more cores take more workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

THREADS = 2


@contextmanager
def fixed_threads() -> Iterator[None]:
    """Have torch and numpy compute with `THREADS` threads while the block runs in this thread."""
    import numpy  # noqa: F401 - what is limited are the libraries that are loaded
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    with threadpool_limits(THREADS):
        torch.set_num_threads(THREADS)
        try:
            yield
        finally:
            torch.set_num_threads(before)
