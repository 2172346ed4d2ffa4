"""Resize, crop and flip: drawn for each sample, the same for both of its pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

DRAWS = 4  # uniform numbers a sample needs


@dataclass(frozen=True)
class View:
    """How a picture is seen: shorter side in pixels, the window's place in [0, 1], mirrored."""

    shorter_side: int
    left: float = 0.5
    top: float = 0.5
    flip: bool = False


def draw_view(
    u: list[float], resolution: int, *, flip: bool, crop: bool, resize_up_to: int | None
) -> View:
    """The view of one sample from its `DRAWS` uniform numbers in [0, 1)."""
    flipped = flip and u[0] < 0.5
    if not crop:
        return View(resolution, flip=flipped)
    largest = resize_up_to or resolution
    side = resolution + int(u[1] * (largest - resolution + 1))
    return View(side, left=u[2], top=u[3], flip=flipped)


def see(image: Image.Image, view: View, resolution: int) -> np.ndarray:
    """A view of an RGB picture: float32 (3, resolution, resolution) in [-1, 1]."""
    width, height = image.size
    scale = view.shorter_side / min(width, height)
    size = max(resolution, round(width * scale)), max(resolution, round(height * scale))
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    left = round(view.left * (size[0] - resolution))
    top = round(view.top * (size[1] - resolution))
    pixels = np.asarray(image)[top : top + resolution, left : left + resolution]
    if view.flip:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / 127.5 - 1.0
