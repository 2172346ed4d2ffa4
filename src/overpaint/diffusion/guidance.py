"""Classifier-free guidance for two conditionings: equation 3 of arXiv:2211.09800.

The model is asked up to three times per step (the branches): with the picture c_I and the
instruction c_T, with the picture only, and with neither. The equation

    e~(z, c_I, c_T) = e(z, 0, 0) + s_I (e(z, c_I, 0) - e(z, 0, 0))
                                 + s_T (e(z, c_I, c_T) - e(z, c_I, 0))

is here collected by branch, which shows when one is not needed:

    e~ = s_T e(z, c_I, c_T) + (s_I - s_T) e(z, c_I, 0) + (1 - s_I) e(z, 0, 0)

so s_I = 1 or s_T = s_I needs two branches, both 1 need one, and s_T = 0 drops the instruction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Scales(NamedTuple):
    """How strongly one picture is guided: `text` is s_T, `image` is s_I."""

    text: float
    image: float


class Branch(NamedTuple):
    """One of the three questions to the model: what it is shown beside the noisy latents."""

    image: bool
    text: bool


BRANCHES = (Branch(image=True, text=True), Branch(image=True, text=False), Branch(False, False))
"""In the order of the weights: picture and instruction, picture only, neither."""


def branch_weights(scales: Scales) -> tuple[float, float, float]:
    """The factor of each of BRANCHES in equation 3; a branch of factor 0 is not needed."""
    return scales.text, scales.image - scales.text, 1.0 - scales.image


def needed_branches(scales: Scales) -> tuple[Branch, ...]:
    """Those of BRANCHES that equation 3 needs at these scales: one, two or three of them."""
    weights = branch_weights(scales)
    return tuple(branch for branch, weight in zip(BRANCHES, weights, strict=True) if weight != 0)


@dataclass(frozen=True)
class BranchRows:
    """One branch in a batch of model calls.

    `samples` (n,) are the samples that need it, `weights` (n, 1, 1, 1) its factor for each.
    """

    branch: Branch
    samples: Tensor
    weights: Tensor


@dataclass(frozen=True)
class BranchPlan:
    """The model calls that a batch of B samples needs, laid out once for all steps.

    It is a sequence of its parts. The rows of the model's batch are the samples of the first
    part, then of the second, ...; `samples` (R,) names the sample of every row.
    """

    batch: int
    parts: tuple[BranchRows, ...]
    samples: Tensor

    def __iter__(self) -> Iterator[BranchRows]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


def plan_branches(scales: Sequence[Scales], device: torch.device | str = "cpu") -> BranchPlan:
    """Lay out the branches of a batch, `scales[i]` being those of sample i, on `device`."""
    weights = [branch_weights(s) for s in scales]
    parts = []
    for index, branch in enumerate(BRANCHES):
        samples = [i for i, row in enumerate(weights) if row[index] != 0]
        if samples:
            factors = torch.tensor([weights[i][index] for i in samples], device=device)
            rows = torch.tensor(samples, device=device)
            parts.append(BranchRows(branch, rows, factors.view(-1, 1, 1, 1)))
    return BranchPlan(len(scales), tuple(parts), torch.cat([part.samples for part in parts]))


def plan_text(guidance: Sequence[float], device: torch.device | str = "cpu") -> BranchPlan:
    """Lay out plain classifier-free guidance, `guidance[i]` being the scale s of sample i.

    e~(z, c) = e(z, 0) + s (e(z, c) - e(z, 0)) (arXiv:2207.12598, eq. 6) is equation 3 with
    s_I = s_T = s: picture and text are then one conditioning, and the branch between is not asked.
    """
    return plan_branches([Scales(scale, scale) for scale in guidance], device)


def guide(predictions: Tensor, plan: BranchPlan) -> Tensor:
    """Equation 3 for a batch: the weighted sum of each sample's branches.

    Args:
        predictions: what the model said, (R, C, H, W), rows in the order of `plan`.
        plan: from `plan_branches`, for B samples.

    Returns:
        (B, C, H, W) of the same dtype; the sum is taken in float32, for the weights have
        either sign and the branches nearly cancel.
    """
    counts = [len(part.samples) for part in plan]
    if len(predictions) != sum(counts):
        raise ValueError(f"{len(predictions)} predictions for {sum(counts)} rows")
    guided = predictions.new_zeros((plan.batch, *predictions.shape[1:]), dtype=torch.float32)
    for part, predicted in zip(plan, predictions.float().split(counts), strict=True):
        samples, weights = part.samples.to(guided.device), part.weights.to(guided.device)
        # A sample stands at most once in a part, so the order of the sums is fixed.
        guided.index_add_(0, samples, weights * predicted)
    return guided.to(predictions.dtype)
