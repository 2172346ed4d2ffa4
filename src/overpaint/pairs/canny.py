"""Canny's edge detector (Canny 1986) for the pictures that steer a ControlNet, on torch.

What `cv2.Canny(image, low, high)` computes, step by step and in whole numbers: no blur, Sobel's
3 x 3 gradients in the channel where they are steepest, their length as |dx| + |dy|, thinning to
the ridge, and of what is above `low` the connected pieces that somewhere are above `high`.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# tan(22.5°) in units of 2^-15: with it the direction of a gradient is found in whole numbers.
_TAN_22 = 13573
_SHIFT = 15


def canny(image: np.ndarray, low: int = 100, high: int = 200) -> np.ndarray:
    """The edges of one picture (H, W, 3) or of several (B, H, W, 3), uint8.

    Returns:
        uint8 (H, W) or (B, H, W), 255 on an edge and 0 elsewhere.

    Raises:
        ValueError: no uint8 RGB pictures.
    """
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or image.shape[-1] != 3:
        raise ValueError(f"no uint8 (B, H, W, 3): {image.dtype} {image.shape}")
    pictures = torch.tensor(image if image.ndim == 4 else image[None])
    dx, dy = _steepest(*_sobel(pictures.permute(0, 3, 1, 2).int()))
    length = dx.abs() + dy.abs()
    ridge = _on_ridge(dx, dy, length) & (length > low)
    edges = _connected(ridge & (length > high), ridge)
    found: np.ndarray = edges.numpy().astype(np.uint8) * np.uint8(255)
    return found if image.ndim == 4 else found[0]


def _sobel(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients to the right and downwards, int32 like `pixels` (B, C, H, W)."""
    wide = F.pad(pixels.float(), (1, 1, 1, 1), mode="replicate").int()
    left, middle, right = wide[..., :-2], wide[..., 1:-1], wide[..., 2:]
    across, along = right - left, left + 2 * middle + right
    dx = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    dy = along[..., 2:, :] - along[..., :-2, :]
    return dx, dy


def _steepest(dx: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """(B, H, W): the gradient of the channel where it is longest, the first of equals."""
    # argmax may name any of several equals; counting the channels down makes the first the longest.
    channels = dx.shape[1]
    first = torch.arange(channels - 1, -1, -1).view(1, -1, 1, 1)
    channel = ((dx.abs() + dy.abs()) * channels + first).argmax(1, keepdim=True)
    return dx.gather(1, channel)[:, 0], dy.gather(1, channel)[:, 0]


def _on_ridge(dx: Tensor, dy: Tensor, length: Tensor) -> Tensor:
    """Where the gradient is longer than at both neighbours that it points to and comes from.

    Of two equals side by side, the left or the upper one stays; along diagonals, neither.
    """
    height, width = length.shape[1:]
    around = F.pad(length, (1, 1, 1, 1))

    def at(down: int, right: int) -> Tensor:
        return around[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    x, y = dx.abs(), dy.abs() << _SHIFT
    flat = y < x * _TAN_22
    steep = y > x * _TAN_22 + (x << (_SHIFT + 1))
    horizontal = (length > at(0, -1)) & (length >= at(0, 1))
    vertical = (length > at(-1, 0)) & (length >= at(1, 0))
    falling = (length > at(-1, -1)) & (length > at(1, 1))
    rising = (length > at(-1, 1)) & (length > at(1, -1))
    diagonal = torch.where((dx ^ dy) < 0, rising, falling)
    return torch.where(flat, horizontal, torch.where(steep, vertical, diagonal))


def _connected(strong: Tensor, ridge: Tensor) -> Tensor:
    """The pieces of `ridge`, by the eight neighbours, that hold something strong; (B, H, W)."""
    allowed, edges = ridge.float(), strong.float()
    while True:
        # An edge walks one pixel a pass, so several passes go between two looks.
        before = edges
        for _ in range(8):
            edges = F.max_pool2d(edges, 3, stride=1, padding=1) * allowed
        if torch.equal(before, edges):
            return edges.bool()
