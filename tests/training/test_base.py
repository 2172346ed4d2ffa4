"""What training starts from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from overpaint.errors import UserError
from overpaint.models import load_text_to_image, names, text_to_image
from overpaint.models.names import PARENT
from overpaint.training.editor import load_base
from overpaint.training.settings import TrainSettings
from tiny import LATENT_CHANNELS, build_tiny_pipeline

SETTINGS = TrainSettings(resolution=32)


def test_what_nano_was_trained_from_is_a_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nano = build_tiny_pipeline(tmp_path / "nano")
    monkeypatch.setattr(names, "NANO", nano)
    monkeypatch.setattr(text_to_image, "NANO", nano)
    with pytest.raises(UserError, match="carries no text_to_image part of nano"):
        load_base(PARENT, SETTINGS, torch.device("cpu"))
    drawing = build_tiny_pipeline(tmp_path / "drawing", in_channels=LATENT_CHANNELS, seed=1)
    shutil.copytree(drawing / "unet", nano / "text_to_image")
    shutil.copy(drawing / "scheduler" / "scheduler_config.json", nano / "text_to_image")
    base = load_base(PARENT, SETTINGS, torch.device("cpu"))
    widened = base.unet.conv_in.weight
    parent = load_text_to_image(drawing, device="cpu", dtype="float32").unet.conv_in.weight
    assert widened.requires_grad
    assert torch.equal(widened[:, :LATENT_CHANNELS], parent)
    assert not widened[:, LATENT_CHANNELS:].any()
    assert base.name == PARENT
