"""One micro-step of training: which rows it takes and where its random numbers come from.

Nothing here has a state. Every number is a function of (seed, position of the sample in the
run), so a resumed run, another split into micro-batches or another number of processes
draws the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from overpaint.seeds import derive_seed


@dataclass(frozen=True)
class MicroStep:
    """Micro-batch `micro` of optimizer step `index`, as process `process` of `processes` sees it.

    `batch_size` counts the samples of the micro-batch over all processes; this process has
    `size` of them. `device` is where the model is.
    """

    index: int
    micro: int
    accumulation: int
    batch_size: int
    seed: int
    process: int = 0
    processes: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def size(self) -> int:
        """Samples of this process in this micro-batch."""
        return self.batch_size // self.processes

    @property
    def first(self) -> int:
        """Position, among all samples that the run ever draws, of this process's first one."""
        return self._first(self.batch_size)

    def rows(self, n_rows: int, batch_size: int | None = None) -> Tensor:
        """Which of `n_rows` rows this micro-batch takes: int64 (size,), on the CPU.

        Each epoch is a permutation that depends on (seed, epoch) alone; a batch may reach
        over the end of an epoch. `batch_size` (over all processes) is the run's own unless
        another is given.
        """
        count = batch_size or self.batch_size
        first = self._first(count)
        positions = range(first, first + count // self.processes)
        order = {e: _permutation(self.seed, e, n_rows) for e in {p // n_rows for p in positions}}
        return torch.stack([order[p // n_rows][p % n_rows] for p in positions])

    @property
    def generator(self) -> torch.Generator:
        """A fresh CPU generator for this (seed, step, micro-batch, process)."""
        return _generator(self.seed, "micro", self.index, self.micro, self.process)

    @cached_property
    def generators(self) -> list[torch.Generator]:
        """One CPU generator a sample, seeded by (seed, position of the sample in the run)."""
        return [_generator(self.seed, "sample", self.first + i) for i in range(self.size)]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers (size, *shape) on `device`, each sample from its own stream."""
        return self._to_device([torch.randn(shape, generator=g) for g in self.generators])

    def uniform(self, *shape: int, on_cpu: bool = False) -> Tensor:
        """Uniform numbers in [0, 1), (size, *shape), on `device` (or the CPU: no wait for it)."""
        samples = [torch.rand(shape, generator=g) for g in self.generators]
        return torch.stack(samples) if on_cpu else self._to_device(samples)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Integers in 0 .. high - 1, int64 (size, *shape), on `device`."""
        return self._to_device([torch.randint(high, shape, generator=g) for g in self.generators])

    def _first(self, batch_size: int) -> int:
        before = (self.index * self.accumulation + self.micro) * batch_size
        return before + self.process * (batch_size // self.processes)

    def _to_device(self, samples: list[Tensor]) -> Tensor:
        return torch.stack(samples).to(self.device, non_blocking=True)


def _generator(seed: int, *parts: str | int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, *parts))


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, n_rows: int) -> Tensor:
    return torch.randperm(n_rows, generator=_generator(seed, "epoch", epoch))
