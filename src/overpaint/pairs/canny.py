"""Canny's edge detector (Canny 1986) for the pictures that steer a ControlNet, on torch.

What `cv2.Canny(image, low, high)` computes, step by step and in whole numbers: no blur, Sobel's
3 x 3 gradients in the channel where they are steepest, their length as |dx| + |dy|, thinning to
the ridge, and of what is above `low` the connected pieces that somewhere are above `high`.

The pieces are found by label propagation with pointer jumping (Shiloach and Vishkin 1982) over
the ridge's weak pixels, a few per cent of all: the number of rounds grows with the logarithm of a
piece's length, and the device is waited for once in `ROUNDS` of them.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ROUNDS = 4  # between two looks at whether all pieces are found: a line of 256 pixels needs so many

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
    edges = edge_map(torch.tensor(image if image.ndim == 4 else image[None]), low, high)
    found: np.ndarray = edges.numpy().astype(np.uint8) * np.uint8(255)
    return found if image.ndim == 4 else found[0]


def edge_map(pictures: Tensor, low: int, high: int) -> Tensor:
    """Where uint8 pictures (B, H, W, 3) have an edge: bool (B, H, W), on their device.

    `low` (at least 0) and `high` are gradient lengths, |dx| + |dy| of Sobel's sums over 3 x 3 pixels.
    """
    dx, dy = _steepest(*_sobel(pictures.permute(0, 3, 1, 2)))
    length = dx.abs() + dy.abs()
    return _connected(length > high, _ridge(dx, dy, length, low))


def _sobel(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients to the right and downwards of uint8 (B, C, H, W): int16, at most 1,020."""
    wide = torch.cat([pixels[..., :1], pixels, pixels[..., -1:]], dim=-1)
    wide = torch.cat([wide[..., :1, :], wide, wide[..., -1:, :]], dim=-2).short()
    left, middle, right = wide[..., :-2], wide[..., 1:-1], wide[..., 2:]
    across, along = right - left, (left + right).add_(middle, alpha=2)
    dx = (across[..., :-2, :] + across[..., 2:, :]).add_(across[..., 1:-1, :], alpha=2)
    return dx, along[..., 2:, :] - along[..., :-2, :]


def _steepest(dx: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) → (B, H, W): the gradient of the channel where it is longest, the first of
    equals."""
    length = dx.abs() + dy.abs()
    longest, right, down = length[:, 0], dx[:, 0], dy[:, 0]
    for channel in range(1, dx.shape[1]):
        longer = length[:, channel] > longest
        right = torch.where(longer, dx[:, channel], right)
        down = torch.where(longer, dy[:, channel], down)
        longest = torch.maximum(longest, length[:, channel])
    return right, down


def _ridge(dx: Tensor, dy: Tensor, length: Tensor, low: int) -> Tensor:
    """Where the gradient is longer than `low`, and than at the two neighbours along it; (B, H, W).

    Of two equals side by side, the left or the upper one stays; along diagonals, neither.
    """
    row = length.shape[2] + 2  # with a border, so that each pixel has its neighbours
    around = F.pad(length, (1, 1, 1, 1)).flatten()
    places = (length.flatten() > low).nonzero()[:, 0]
    inside = (around > low).nonzero()[:, 0]  # the same pixels in the same order
    right, down, own = dx.flatten()[places], dy.flatten()[places], around[inside]
    x, y = right.abs().int(), down.abs().int() << _SHIFT
    bound = x * _TAN_22
    flat, steep = y < bound, y > bound + (x << (_SHIFT + 1))
    diagonal = row + 1 - 2 * ((right ^ down) < 0).long()
    step = torch.where(flat, 1, torch.where(steep, row, diagonal))
    after = around[inside + step]
    stays = (own > around[inside - step]) & ((own > after) | ((flat | steep) & (own == after)))
    ridge = torch.zeros(length.numel(), dtype=torch.bool, device=length.device)
    ridge[places] = stays
    return ridge.view(length.shape)


def _connected(strong: Tensor, ridge: Tensor) -> Tensor:
    """The pieces of `ridge`, by the eight neighbours, that hold something strong; (B, H, W).

    Nodes are the weak pixels of the ridge, and one, 0, that stands for all strong ones.
    """
    batch, height, width = ridge.shape
    row = width + 2  # with a border, so that no neighbour is another row's or picture's
    on_ridge = F.pad(ridge, (1, 1, 1, 1)).flatten()
    weak = on_ridge & ~F.pad(strong, (1, 1, 1, 1)).flatten()
    places = weak.nonzero()[:, 0]
    nodes = torch.arange(1, len(places) + 1, device=ridge.device)
    number = torch.zeros(len(weak), dtype=torch.long, device=ridge.device)
    number[places] = nodes
    steps = torch.tensor([-row - 1, -row, -row + 1, -1, 1, row - 1, row, row + 1])
    beside = places + steps.to(ridge.device)[:, None]
    joined = on_ridge[beside]
    pairs = torch.stack([nodes.expand_as(beside)[joined], number[beside[joined]]])
    reached = _components(pairs, len(places) + 1) == 0
    edges = on_ridge & ~weak
    edges[places] = reached[1:]
    return edges.view(batch, height + 2, row)[:, 1:-1, 1:-1]


def _components(pairs: Tensor, count: int) -> Tensor:
    """For each of `count` nodes the smallest that a path of `pairs` (2, n) joins it to.

    A label is a node of the same piece, and no round raises one, so that this ends.
    """
    labels = torch.arange(count, device=pairs.device)
    one, other = pairs
    while True:
        for _ in range(ROUNDS):
            ends = labels[pairs]
            least = ends.amin(0)
            labels.scatter_reduce_(0, ends[0], least, "amin")
            labels.scatter_reduce_(0, ends[1], least, "amin")
            labels = labels[labels]
            labels = labels[labels]
        if torch.equal(labels[one], labels[other]):
            return labels
