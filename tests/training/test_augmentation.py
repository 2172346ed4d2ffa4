"""Views: what a draw means, and that every sample has its own."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from overpaint.training.augmentation import View, draw_view, see


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_a_picture_of_the_right_size_is_only_rescaled_to_minus_one_to_one() -> None:
    image = picture(16, 16)
    seen = see(image, View(16), 16)
    assert seen.shape == (3, 16, 16)
    assert seen.dtype == np.float32
    back = np.rint((seen.transpose(1, 2, 0) + 1) * 127.5)
    assert np.array_equal(back, np.asarray(image))
    assert see(Image.new("RGB", (4, 4), "white"), View(4), 4).max() == 1.0
    assert see(Image.new("RGB", (4, 4), "black"), View(4), 4).min() == -1.0


def test_flip_mirrors_left_and_right() -> None:
    image = picture(16, 16)
    plain, flipped = see(image, View(16), 16), see(image, View(16, flip=True), 16)
    assert np.array_equal(flipped, plain[:, :, ::-1])


def test_the_middle_is_cut_unless_a_place_is_drawn() -> None:
    image = picture(24, 16)
    pixels = np.asarray(image).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    assert np.allclose(see(image, View(16), 16), pixels[:, :, 4:20])
    assert np.allclose(see(image, View(16, left=0.0), 16), pixels[:, :, :16])
    assert np.allclose(see(image, View(16, left=1.0), 16), pixels[:, :, 8:])


@pytest.mark.parametrize("size", [(7, 33), (33, 7), (16, 16), (16, 17), (100, 101)])
@pytest.mark.parametrize("side", [16, 19])
def test_every_window_lies_in_the_picture(size: tuple[int, int], side: int) -> None:
    for place in (0.0, 0.3, 0.999):
        view = View(side, left=place, top=place)
        assert see(picture(*size), view, 16).shape == (3, 16, 16)


def test_draws_decide_each_sample() -> None:
    on = {"flip": True, "crop": True, "resize_up_to": 20}
    assert draw_view([0.49, 0.0, 0.1, 0.9], 16, **on) == View(16, 0.1, 0.9, flip=True)
    assert draw_view([0.50, 0.999, 0.1, 0.9], 16, **on) == View(20, 0.1, 0.9, flip=False)
    off = {"flip": False, "crop": False, "resize_up_to": None}
    assert draw_view([0.0, 0.9, 0.1, 0.9], 16, **off) == View(16)
