"""Muon: steps whose matrices have all singular values near one, for the weights of hidden layers.

The momentum of a weight, as a matrix of (outputs, inputs), is orthogonalised by five steps of a
Newton-Schulz iteration (K. Jordan, "Muon", 2024; 2502.16982 for the scale, which lets one
learning rate serve for both kinds). All other parameters take AdamW's step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_NARROWEST = 32  # a matrix with a side below this is left to AdamW
_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5
_RMS = 0.2  # what AdamW's steps have at a learning rate of one


class Muon(Optimizer):
    """AdamW, but Muon's step for weights of two and more dimensions that are wide enough."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        eps: float = 1e-8,
    ) -> None:
        options = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        super().__init__(params, {**options, "momentum": momentum, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; parameters without a gradient stay as they are."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                if is_matrix(parameter):
                    parameter.add_(_orthogonal_step(parameter.grad, state, group))
                else:
                    parameter.add_(_adam_step(parameter.grad, state, group))


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter takes Muon's step."""
    return parameter.ndim >= 2 and min(len(parameter), parameter[0].numel()) >= _NARROWEST


def orthogonalised(matrix: Tensor) -> Tensor:
    """The matrix (n, m) with its singular values moved to about one (0.7 to 1.2)."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.T if tall else x


def _orthogonal_step(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    momentum = state["momentum"].mul_(group["momentum"]).add_(gradient)
    ahead = gradient.add(momentum, alpha=group["momentum"]).flatten(1)  # Nesterov's
    scale = -group["lr"] * _RMS * math.sqrt(max(ahead.shape))
    return (scale * orthogonalised(ahead.float())).view(gradient.shape)


def _adam_step(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    if not state:
        state["step"] = torch.zeros(())
        state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(gradient) for _ in range(2))
    first, second = group["betas"]
    state["step"] += 1
    done = float(state["step"])
    state["exp_avg"].lerp_(gradient, 1 - first)
    state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
    spread = (state["exp_avg_sq"] / (1 - second**done)).sqrt_().add_(group["eps"])
    return state["exp_avg"] / spread * (-group["lr"] / (1 - first**done))
