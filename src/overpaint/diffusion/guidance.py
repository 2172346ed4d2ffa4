"""Classifier-free guidance: a weighted sum of what a network answers when it is shown more or less.

Each family of models says which branches one sample needs, as a list of `Ask`. InstructPix2Pix
(arXiv:2211.09800, eq. 3) is asked up to three times: with the picture c_I and the instruction c_T,
with the picture only, and with neither. The equation

    e~(z, c_I, c_T) = e(z, 0, 0) + s_I (e(z, c_I, 0) - e(z, 0, 0))
                                 + s_T (e(z, c_I, c_T) - e(z, c_I, 0))

is here collected by branch, which shows when one is not needed:

    e~ = s_T e(z, c_I, c_T) + (s_I - s_T) e(z, c_I, 0) + (1 - s_I) e(z, 0, 0)

so s_I = 1 or s_T = s_I needs two branches, both 1 need one, and s_T = 0 drops the instruction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TEXT, PICTURE = "text", "picture"


@dataclass(frozen=True)
class Ask:
    """One branch of one sample's guidance: its factor, and which conditions are hidden in it."""

    weight: float
    hide: frozenset[str] = frozenset()


def edit_asks(text_scale: float, image_scale: float) -> list[Ask]:
    """Equation 3 of arXiv:2211.09800 at s_T = `text_scale` and s_I = `image_scale`."""
    return [
        Ask(text_scale),
        Ask(image_scale - text_scale, frozenset({TEXT})),
        Ask(1.0 - image_scale, frozenset({TEXT, PICTURE})),
    ]


def text_asks(scale: float) -> list[Ask]:
    """e~(z, c) = e(z, 0) + s (e(z, c) - e(z, 0)) (arXiv:2207.12598, eq. 6) at s = `scale`."""
    return [Ask(scale), Ask(1.0 - scale, frozenset({TEXT}))]


@dataclass(frozen=True)
class BranchRows:
    """One branch in a batch of network calls.

    `hide` are the conditions that it does not show, `samples` (n,) the samples that need it,
    `weights` (n,) float32 its factor for each.
    """

    hide: frozenset[str]
    samples: Tensor
    weights: Tensor


@dataclass(frozen=True)
class BranchPlan:
    """The network calls that a batch of B samples needs, laid out once for all steps.

    It is a sequence of its parts. The rows of the network's batch are the samples of the first
    part, then of the second, ...; `samples` (R,) names the sample of every row.
    """

    batch: int
    parts: tuple[BranchRows, ...]
    samples: Tensor

    def __iter__(self) -> Iterator[BranchRows]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


def plan_branches(asks: Sequence[Sequence[Ask]], device: torch.device | str = "cpu") -> BranchPlan:
    """Lay out the branches of a batch, `asks[i]` being those of sample i, on `device`.

    A branch of factor 0 is not asked. The branches that hide least come first.
    """
    weights: dict[frozenset[str], dict[int, float]] = {}
    for sample, branches in enumerate(asks):
        for ask in branches:
            if ask.weight != 0:
                weights.setdefault(ask.hide, {})[sample] = ask.weight
    parts = []
    for hide in sorted(weights, key=lambda hidden: (len(hidden), sorted(hidden))):
        samples = torch.tensor(list(weights[hide]), device=device)
        factors = torch.tensor(list(weights[hide].values()), device=device)
        parts.append(BranchRows(hide, samples, factors))
    return BranchPlan(len(asks), tuple(parts), torch.cat([part.samples for part in parts]))


def guide(answers: Tensor, plan: BranchPlan) -> Tensor:
    """The weighted sum of each sample's branches.

    Args:
        answers: what the network said, (R, ...), rows in the order of `plan`.
        plan: from `plan_branches`, for B samples.

    Returns:
        (B, ...) of the same dtype; the sum is taken in float32, for the weights have either sign
        and the branches nearly cancel.
    """
    counts = [len(part.samples) for part in plan]
    if len(answers) != sum(counts):
        raise ValueError(f"{len(answers)} answers for {sum(counts)} rows")
    guided = answers.new_zeros((plan.batch, *answers.shape[1:]), dtype=torch.float32)
    ones = (1,) * (answers.ndim - 1)
    for part, answer in zip(plan, answers.float().split(counts), strict=True):
        # A sample stands at most once in a part, so the order of the sums is fixed.
        guided.index_add_(0, part.samples, part.weights.view(-1, *ones) * answer)
    return guided.to(answers.dtype)
