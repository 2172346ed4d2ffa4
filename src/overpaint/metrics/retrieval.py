"""Target retrieval@1 and what an edit left alone: exact answers compared pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def mean_squared_error(a: Pixels, b: Pixels) -> float:
    """Mean over pixels and channels of (a - b)^2, both uint8 of one shape, in 0..255 squared."""
    return float(np.square(a.astype(np.float32) - b.astype(np.float32)).mean())


def is_retrieved(edited: Pixels, right: Sequence[Pixels], wrong: Sequence[Pixels]) -> bool:
    """Whether the candidate nearest to `edited` by mean squared error is a right answer.

    A tie between a right and a wrong picture counts as not retrieved.
    """
    nearest_wrong = min((mean_squared_error(edited, other) for other in wrong), default=np.inf)
    return min(mean_squared_error(edited, target) for target in right) < nearest_wrong


def psnr(a: Pixels, b: Pixels, where: NDArray[np.bool_] | None = None) -> float | None:
    """Peak signal-to-noise ratio in dB, peak 255, over the pixels of the mask `where` (h, w).

    None where the mask is empty; equal pictures give infinity.
    """
    if where is not None:
        if not where.any():
            return None
        a, b = a[where], b[where]
    error = mean_squared_error(a, b)
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))
