"""The columns are a contract, and a row comes back as it went in."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from overpaint.rows import PAIR_COLUMNS, TRIPLET_COLUMNS, Pair, Triplet, pair_features

TEXTS = {"original_prompt": "a cat", "edit_prompt": "make it night", "edited_prompt": "a dark cat"}


def noise(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_the_columns_are_those_of_the_contract() -> None:
    expected = (
        "original_prompt edit_prompt edited_prompt original_image edited_image seed kind method "
        "conditioning_scale attention_fraction guidance_scale num_inference_steps model "
        "clip_original clip_edited clip_image clip_direction mask"
    ).split()
    assert list(PAIR_COLUMNS) == expected
    assert list(TRIPLET_COLUMNS) == expected[:3]
    assert tuple(pair_features()) == PAIR_COLUMNS


def test_images_are_stored_without_loss_and_with_the_same_bytes() -> None:
    pair = Pair(**TEXTS, original_image=noise(0), edited_image=noise(1))
    row = pair.to_row()
    assert row == Pair(**TEXTS, original_image=noise(0), edited_image=noise(1)).to_row()
    back = Image.open(io.BytesIO(row["edited_image"]["bytes"]))
    assert np.array_equal(np.asarray(back), np.asarray(noise(1)))


def test_what_is_unknown_is_null() -> None:
    row = Pair(**TEXTS, original_image=noise(0), edited_image=noise(1), seed=3).to_row()
    assert row["seed"] == 3
    assert row["clip_direction"] is None


def test_a_triplet_ignores_other_columns() -> None:
    assert Triplet.from_row({**TEXTS, "more": 1}) == Triplet(**TEXTS)
    assert Triplet.from_row({**TEXTS, "kind": "add"}).to_row()["kind"] == "add"
