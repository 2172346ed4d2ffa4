"""Conditioning dropout: arXiv:2211.09800, section 3.2.1.

So that one model knows all three branches of equation 3, training hides the conditionings
now and then: text only, image only and both, each with probability p (0.05 in the paper).
One uniform draw u a sample decides, as in the authors' code:

    0        p        2p       3p                                1
    |  text  |  both  |  image |           nothing hidden        |
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Dropped(NamedTuple):
    """Which samples lose which conditioning: bool, (B,) each."""

    text: Tensor
    image: Tensor


def choose(u: Tensor, p: float) -> Dropped:
    """u < 2p drops the text, p <= u < 3p drops the image; `u` uniform in [0, 1), (B,).

    Raises:
        ValueError: 3p is above 1.
    """
    if not 0 <= 3 * p <= 1:
        raise ValueError(f"dropout p = {p}: three cases of p each must fit into [0, 1]")
    return Dropped(text=u < 2 * p, image=(p <= u) & (u < 3 * p))


def drop_text(text: Tensor, null_text: Tensor, dropped: Tensor) -> Tensor:
    """Text embeddings (B, L, D), the null prompt's (1, L, D) where `dropped` (B,)."""
    return torch.where(dropped.view(-1, 1, 1), null_text, text)


def drop_image(latents: Tensor, dropped: Tensor) -> Tensor:
    """Image-conditioning latents (B, C, H, W), zeros where `dropped` (B,)."""
    return torch.where(dropped.view(-1, 1, 1, 1), latents.new_zeros(()), latents)
