"""Learning-rate schedules: each is a function of the step that returns a factor in [0, 1]."""

from __future__ import annotations

import math


def constant() -> float:
    """1 at every step."""
    return 1.0


def linear(progress: float) -> float:
    """1 - p: from 1 down to 0 on a straight line; `progress` p in [0, 1]."""
    return 1.0 - progress


def cosine(progress: float) -> float:
    """(1 + cos(pi p)) / 2 (arXiv:1608.03983, eq. 5, one period, minimum 0); p in [0, 1]."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def warmup(step: int, warmup_steps: int) -> float:
    """(step + 1) / warmup_steps, at most 1: the first step already moves the weights."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def lr_multiplier(name: str, step: int, steps: int, warmup_steps: int = 0) -> float:
    """The factor on the learning rate at optimizer step `step` (from 0) of `steps`.

    Warm-up comes first; the named schedule ("constant", "linear", "cosine") then runs over
    the steps that are left.

    Raises:
        ValueError: `name` is no schedule.
    """
    if step < warmup_steps:
        return warmup(step, warmup_steps)
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    if name == "constant":
        return constant()
    if name == "linear":
        return linear(progress)
    if name == "cosine":
        return cosine(progress)
    raise ValueError(f"no learning-rate schedule named {name!r}")
