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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
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
    """One branch in a batch of model calls: which samples need it, and its factor for each."""

    branch: Branch
    samples: list[int]
    weights: list[float]


def plan_branches(scales: Sequence[Scales]) -> list[BranchRows]:
    """The model calls that a batch needs, `scales[i]` being those of sample i.

    The rows of the model's batch are the `samples` of the first item, then of the second, ...
    """
    weights = [branch_weights(s) for s in scales]
    plan = []
    for index, branch in enumerate(BRANCHES):
        samples = [i for i, row in enumerate(weights) if row[index] != 0]
        if samples:
            plan.append(BranchRows(branch, samples, [weights[i][index] for i in samples]))
    return plan


def guide(predictions: Tensor, plan: Sequence[BranchRows]) -> Tensor:
    """Equation 3 for a batch: the weighted sum of each sample's branches.

    Args:
        predictions: what the model said, (rows, C, H, W), rows in the order of `plan`.
        plan: from `plan_branches`, for B samples.

    Returns:
        (B, C, H, W) of the same dtype; the sum is taken in float32, for the weights have
        either sign and the branches nearly cancel.
    """
    counts = [len(rows.samples) for rows in plan]
    if len(predictions) != sum(counts):
        raise ValueError(f"{len(predictions)} predictions for {sum(counts)} rows")
    size = 1 + max(max(rows.samples) for rows in plan)
    guided = predictions.new_zeros((size, *predictions.shape[1:])).float()
    for rows, part in zip(plan, predictions.float().split(counts), strict=True):
        weights = part.new_tensor(rows.weights).view(-1, 1, 1, 1)
        # A sample stands at most once in `rows.samples`, so the order of sums is fixed.
        guided[rows.samples] += weights * part
    return guided.to(predictions.dtype)
