"""Pictures as vectors by DINO, as `models.clip` does it by CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from overpaint.models import quiet_libraries
from overpaint.models.clip import load_or_say, picture_vectors


@dataclass
class Dino:
    """A DINO (or any vision transformer) in evaluation mode: its class token is the vector."""

    name: str
    model: Any
    processor: Any

    @torch.inference_mode()
    def images(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(n, d) float32 on the CPU, each of length 1."""
        return picture_vectors(
            pictures,
            self.processor,
            self.model.device,
            lambda pixels: self.model(pixel_values=pixels).last_hidden_state[:, 0],
        )


def load_dino(name: str | Path, device: str | torch.device | None = None) -> Dino:
    """Load a DINO, DINOv2 or DINOv3 in float32: a folder or a hub id.

    Raises:
        UserError: there is none, or it is broken.
    """
    from transformers import AutoImageProcessor, AutoModel

    with quiet_libraries():
        model = load_or_say(name, lambda: AutoModel.from_pretrained(name, use_safetensors=True))
        processor = load_or_say(
            name, lambda: AutoImageProcessor.from_pretrained(name, backend="pil")
        )
    return Dino(str(name), model.float().eval().to(device or "cpu"), processor)
