"""Scores of embedded pictures and captions: vectors in, cosines out. Whose vectors they are does not matter.

The models that embed are `overpaint.models.clip` and `overpaint.models.dino`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SAME_VECTOR = 1e-5  # distance of two vectors of length 1 below which they are of the same input


def cosine_similarity(a: Tensor, b: Tensor) -> list[float]:
    """Row by row, of vectors of length 1: both (n, d)."""
    return [float(cosine) for cosine in (a * b).sum(-1)]


def directional_similarity(
    before: Tensor, after: Tensor, caption_before: Tensor, caption_after: Tensor
) -> Tensor:
    """cos(after - before, caption_after - caption_before), all (n, d) of length 1; the result (n,).

    Eq. of section 3.1.2 of 2211.09800, after StyleGAN-NADA (2108.00946). Where the captions are
    the same no direction is asked for, and the result is nan; where the picture did not change it
    is 0. Differences as small as the rounding of two equal vectors count as none.
    """
    seen, said = after - before, caption_after - caption_before
    cosine = F.cosine_similarity(seen, said, dim=-1)
    cosine = cosine.masked_fill(seen.norm(dim=-1) < SAME_VECTOR, 0.0)
    return cosine.masked_fill(said.norm(dim=-1) < SAME_VECTOR, torch.nan)
