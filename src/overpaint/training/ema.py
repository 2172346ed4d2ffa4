"""The exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def decay_at(step: int, decay: float) -> float:
    """min(decay, (1 + n) / (10 + n)) after n = `step` updates.

    The ramp lets the average forget the random start in short runs; 300 steps at 0.9999
    would otherwise still hold 97 % of the first weights.
    """
    return min(decay, (1 + step) / (10 + step))


class Ema:
    """ema <- d * ema + (1 - d) * weights, in float32, for all weights in one call.

    It starts at the weights it is given. `tensors` are in the order of `parameters`.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.tensors = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights; `step` counts the updates before this one."""
        weight = 1.0 - decay_at(step, self.decay)
        torch._foreach_lerp_(self.tensors, [p.detach() for p in self.parameters], weight)

    def exchange(self) -> None:
        """Swap weights and average without a copy; called twice, nothing has changed."""
        for index, parameter in enumerate(self.parameters):
            parameter.data, self.tensors[index] = self.tensors[index], parameter.data

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model holds the averaged weights inside the block."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()
