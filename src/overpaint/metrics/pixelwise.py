"""Distances between pictures, pixel by pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def l1_distance(a: Pixels, b: Pixels) -> float:
    """Mean over pixels and channels of |a - b|, both uint8 of one shape; the result in [0, 1]."""
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).mean() / 255.0)


def l2_distance(a: Pixels, b: Pixels) -> float:
    """Mean over pixels and channels of (a - b)^2, as MagicBrush (2306.10012) has it; in [0, 1]."""
    return float(np.square(a.astype(np.float64) - b.astype(np.float64)).mean() / 255.0**2)
