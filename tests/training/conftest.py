"""A small folder of pairs and a tiny base, built once for the tests of training."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overpaint.rows import Pair, pair_features
from overpaint.shards import write_card, write_shard
from tiny import LATENT_CHANNELS, SENTENCES, build_tiny_pipeline

N_PAIRS = 24


def _picture(draw: np.random.Generator) -> Image.Image:
    coarse = draw.integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((48, 40), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pairs of 48 x 40 pixels in two shards."""
    folder = tmp_path_factory.mktemp("data") / "pairs"
    draw = np.random.default_rng(0)
    rows = [
        Pair(
            original_prompt="before",
            edit_prompt=SENTENCES[i % 5],
            edited_prompt="after",
            original_image=_picture(draw),
            edited_image=_picture(draw),
        ).to_row()
        for i in range(N_PAIRS)
    ]
    for index in range(2):
        write_shard(folder, index, 2, rows[index::2], pair_features())
    write_card(folder, "pairs", "for tests")
    return folder


@pytest.fixture(scope="session")
def editing_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline that edits already."""
    return build_tiny_pipeline(tmp_path_factory.mktemp("base") / "edits")


@pytest.fixture(scope="session")
def parent_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny text-to-image pipeline."""
    folder = tmp_path_factory.mktemp("base") / "text-to-image"
    return build_tiny_pipeline(folder, in_channels=LATENT_CHANNELS)


@pytest.fixture(scope="session")
def parts_base(editing_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything but a U-Net, as training from scratch takes it."""
    folder = tmp_path_factory.mktemp("base") / "parts"
    for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
        shutil.copytree(editing_base / part, folder / part)
    return folder
