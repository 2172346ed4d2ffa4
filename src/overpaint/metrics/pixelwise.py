"""Distances between pictures, pixel by pixel: arrays (h, w, 3) of uint8 in, a number out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from overpaint.metrics.definitions import PSNR_CEILING

Pixels = NDArray[np.uint8]


def l1_distance(a: Pixels, b: Pixels) -> float:
    """Mean over pixels and channels of |a - b|, both uint8 of one shape; the result in [0, 1]."""
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).mean() / 255.0)


def l2_distance(a: Pixels, b: Pixels) -> float:
    """Mean over pixels and channels of (a - b)^2, as MagicBrush (2306.10012) has it; in [0, 1]."""
    return float(np.square(a.astype(np.float64) - b.astype(np.float64)).mean() / 255.0**2)


TO_TARGET: dict[str, Callable[[Pixels, Pixels], float]] = {"l1": l1_distance, "l2": l2_distance}
"""The metrics (by their names in `definitions`) of an edited picture and the right answer."""


def mean_squared_error(a: Pixels, b: Pixels) -> float:
    """Mean over pixels and channels of (a - b)^2, both uint8 of one shape, in 0..255 squared."""
    return float(np.square(a.astype(np.float32) - b.astype(np.float32)).mean())


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


def capped_psnr(a: Pixels, b: Pixels, where: NDArray[np.bool_] | None = None) -> float | None:
    """As `psnr`, but at most `PSNR_CEILING`, so that means stay finite."""
    found = psnr(a, b, where)
    return None if found is None else min(found, PSNR_CEILING)
