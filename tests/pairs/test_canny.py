"""Canny's edges, against the algorithm written out pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from overpaint.pairs.canny import _connected, canny


def slow_canny(image: np.ndarray, low: int, high: int) -> np.ndarray:
    """One pixel after the other, directions by their angle, edges followed with a stack."""
    height, width, channels = image.shape

    def value(y: int, x: int, c: int) -> int:
        return int(image[min(max(y, 0), height - 1), min(max(x, 0), width - 1), c])

    def gradient(y: int, x: int) -> tuple[int, int]:
        found = []
        for c in range(channels):
            dx = sum(w * (value(y + d, x + 1, c) - value(y + d, x - 1, c)) for d, w in KERNEL)
            dy = sum(w * (value(y + 1, x + d, c) - value(y - 1, x + d, c)) for d, w in KERNEL)
            found.append((dx, dy))
        return max(found, key=lambda g: abs(g[0]) + abs(g[1]))  # the first of equals

    gradients = [[gradient(y, x) for x in range(width)] for y in range(height)]

    def length(y: int, x: int) -> int:
        inside = 0 <= y < height and 0 <= x < width
        return sum(map(abs, gradients[y][x])) if inside else 0

    def on_ridge(y: int, x: int) -> bool:
        (dx, dy), m = gradients[y][x], length(y, x)
        angle = math.degrees(math.atan2(abs(dy), abs(dx)))
        if angle < 22.5:
            return m > length(y, x - 1) and m >= length(y, x + 1)
        if angle > 67.5:
            return m > length(y - 1, x) and m >= length(y + 1, x)
        s = -1 if dx * dy < 0 else 1
        return m > length(y - 1, x - s) and m > length(y + 1, x + s)

    cells = [(y, x) for y in range(height) for x in range(width)]
    ridge = {(y, x) for y, x in cells if length(y, x) > low and on_ridge(y, x)}
    edges = np.zeros((height, width), dtype=np.uint8)
    stack = [(y, x) for y, x in ridge if length(y, x) > high]
    while stack:
        y, x = stack.pop()
        if (y, x) in ridge and not edges[y, x]:
            edges[y, x] = 255
            stack += [(y + d, x + e) for d in (-1, 0, 1) for e in (-1, 0, 1)]
    return edges


KERNEL = ((-1, 1), (0, 2), (1, 1))


def pictures() -> list[np.ndarray]:
    """Noise, waves (long edges, many weak) and flat shapes (equal gradients side by side)."""
    random = np.random.default_rng(5)
    noise = random.integers(0, 256, (31, 40, 3), dtype=np.uint8)
    y, x = np.mgrid[:31, :40]
    waves = np.stack([np.sin(x / 3 + y / 5), np.cos(x * y / 60), np.sin(y / 4)], -1)
    shapes = np.full((31, 40, 3), 60, dtype=np.uint8)
    shapes[5:20, 8:30] = (200, 60, 60)
    shapes[np.abs(x - 20) + np.abs(y - 15) < 9] = (60, 60, 190)
    return [noise, (waves * 60 + 128).astype(np.uint8), shapes]


@pytest.mark.parametrize("thresholds", [(100, 200), (40, 90)])
def test_equals_the_algorithm_written_out(thresholds):
    for picture in pictures():
        edges = canny(picture, *thresholds)
        assert edges.dtype == np.uint8
        np.testing.assert_array_equal(edges, slow_canny(picture, *thresholds))
        assert edges.any()


def test_a_picture_is_the_same_alone_and_in_a_batch():
    batch = np.stack(pictures())
    together = canny(batch)
    assert together.shape == batch.shape[:3]
    for picture, edges in zip(batch, together, strict=True):
        np.testing.assert_array_equal(canny(picture), edges)


def test_a_long_weak_line_hangs_on_its_strong_end():
    """Hysteresis goes all the way along, here 60 pixels, and only where it is connected."""
    picture = np.full((24, 64, 3), 100, dtype=np.uint8)
    picture[6:, :] = 140
    picture[6:, :3] = 250
    picture[18:] = 180
    edges = canny(picture, 100, 200)
    assert (edges[5:7] > 0).any(axis=0)[4:].all()
    assert not edges[15:21, 8:].any()


@pytest.mark.parametrize("gap", [None, 5, 40])
@pytest.mark.parametrize("turned", [False, True])
def test_a_winding_line_is_followed_to_its_end_or_to_a_gap(gap, turned):
    """Far longer than what is followed between two looks; whichever way its pixels are counted."""
    line = torch.zeros(1, 61, 30, dtype=torch.bool)
    line[0, ::4] = True
    for number, row in enumerate(range(1, 60, 4)):
        line[0, row : row + 3, -1 if number % 2 == 0 else 0] = True
    start = torch.zeros_like(line)
    start[0, 0, 0] = True
    wanted = line.clone()
    if gap is not None:
        line[0, gap] = False
        wanted[0, gap:] = False
    if turned:
        line, start, wanted = (part.flip(1, 2).transpose(1, 2) for part in (line, start, wanted))
    assert torch.equal(_connected(start, line), wanted)
    assert not _connected(torch.zeros_like(line), line).any()


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match="no uint8"):
        canny(np.zeros((8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match="no uint8"):
        canny(np.zeros((8, 8, 3), dtype=np.float32))
