"""Forward processes: how noise is added to latents, and what a network is asked to predict.

Latents `clean` and `noise` are (B, ...); `times` (B,) says how far each sample is, in the numbers
that its network is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

PREDICTIONS = ("epsilon", "v_prediction", "sample")


class Draws(Protocol):
    """Random numbers for a batch of B samples, each from a stream of its own."""

    def integers(self, high: int, *shape: int) -> Tensor:
        """Integers in 0 .. high - 1, int64 (B, *shape)."""

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32 (B, *shape)."""


class Process(Protocol):
    """A forward process."""

    def draw_times(self, draws: Draws) -> Tensor:
        """The times at which a batch is trained, (B,)."""

    def noised(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """z_t, in the dtype of `clean`."""

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network should answer at z_t."""


@dataclass(frozen=True)
class AlphaBar:
    """z_t = sqrt(a_t) z_0 + sqrt(1 - a_t) e (arXiv:2006.11239, eq. 4), at times 0 .. T - 1.

    `alphas` (T,) is the cumulative product of 1 - beta; `prediction`, one of PREDICTIONS, is the
    scheduler's `prediction_type`.

    Raises:
        ValueError: `prediction` is none of PREDICTIONS.
    """

    alphas: Tensor
    prediction: str = "epsilon"

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            known = ", ".join(PREDICTIONS)
            raise ValueError(f"prediction_type {self.prediction!r} is none of {known}")

    def draw_times(self, draws: Draws) -> Tensor:
        """Each of the T times is as likely as another."""
        return draws.integers(len(self.alphas))

    def noised(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Equation 4."""
        signal, sigma = self.signal_and_noise(times, clean)
        return signal * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The noise, z_0, or v_t = sqrt(a_t) e - sqrt(1 - a_t) z_0 (arXiv:2202.00512, app. D)."""
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "sample":
            return clean
        signal, sigma = self.signal_and_noise(times, clean)
        return signal * noise - sigma * clean

    def signal_and_noise(self, times: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(a_t) and sqrt(1 - a_t), (B, 1, ..., 1) in the dtype and on the device of `like`."""
        chosen = _per_sample(self.alphas.to(like.device)[times], like)
        return chosen.sqrt().to(like.dtype), (1 - chosen).sqrt().to(like.dtype)


@dataclass(frozen=True)
class RectifiedFlow:
    """z_s = (1 - s) z_0 + s e (arXiv:2209.03003), where a network is told the time 1000 s.

    In training s is drawn from a logit-normal law (arXiv:2403.03206, eq. 19), then moved towards
    noise by `shift` (eq. 23): s' = shift s / (1 + (shift - 1) s).
    """

    shift: float = 1.0
    steps: float = 1000.0

    def draw_times(self, draws: Draws) -> Tensor:
        """1000 s, float32 (B,)."""
        s = torch.sigmoid(draws.normal())
        return self.steps * (self.shift * s / (1 + (self.shift - 1) * s))

    def noised(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The straight line between the two."""
        s = _per_sample(times.to(clean.device) / self.steps, clean).to(clean.dtype)
        return (1 - s) * clean + s * noise

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Its direction, e - z_0, which is the same at all times."""
        return noise - clean


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, ..., 1)."""
    return values.view(-1, *(1,) * (like.ndim - 1))
