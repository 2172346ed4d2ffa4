"""Metrics between two lines of the log."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor

from overpaint.errors import UserError


class Meter:
    """Means of metrics between two lines of the log, summed on the device without a sync."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._bad = torch.zeros((), dtype=torch.int64, device=accelerator.device)

    @torch.no_grad()
    def add(self, metrics: dict[str, Tensor], step: int, guard: bool = True) -> None:
        """Add scalars; `guard` remembers the first `step` at which one was nan or infinite."""
        for name, value in metrics.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
            if guard and name in ("loss", "grad_norm"):
                first = torch.where(self._bad == 0, step, self._bad)
                self._bad = torch.where(torch.isfinite(value), self._bad, first)

    def means(self) -> dict[str, float]:
        """The mean of each metric over steps and processes (waits for the device).

        Raises:
            UserError: the loss or its gradient was nan or infinite; names the step.
        """
        self.check()
        names = sorted(self._sums, key=lambda name: (name != "loss", name))
        values = torch.stack([self._sums[n] / self._counts[n] for n in names])
        return dict(zip(names, self._accelerator.reduce(values, "mean").tolist(), strict=True))

    def check(self) -> None:
        """Raise when a loss or gradient was not finite (waits for the device).

        Raises:
            UserError: naming the step.
        """
        bad = [int(b) for b in self._accelerator.gather(self._bad.reshape(1)).tolist() if b]
        if bad:
            raise UserError(
                f"the loss became nan or infinite at step {min(bad)}: lower the learning rate, "
                "add warm-up or clipping, or use bf16 instead of fp16; the last good checkpoint "
                "stands."
            )

    def clear(self) -> None:
        """Start anew; what was not finite is remembered."""
        self._sums, self._counts = {}, {}

    def state(self) -> dict[str, Tensor]:
        """Sums (mean over the processes) and counts, as tensors."""
        return {
            name: torch.stack(
                [
                    self._accelerator.reduce(total, "mean"),
                    torch.full_like(total, self._counts[name]),
                ]
            )
            for name, total in self._sums.items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from `state()`."""
        device = self._accelerator.device
        self._sums = {name: pair[0].to(device) for name, pair in state.items()}
        self._counts = {name: int(pair[1]) for name, pair in state.items()}
