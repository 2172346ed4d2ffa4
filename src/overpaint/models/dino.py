"""DINO: pictures as vectors, as `models.clip` gives them by CLIP. Any vision transformer with a class token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from overpaint.errors import UserError
from overpaint.models.clip import load_processor, picture_vectors
from overpaint.models.folders import check_tables, in_words, read_table
from overpaint.models.hub import download_network
from overpaint.models.loading import load_network
from overpaint.models.names import is_hub_id
from overpaint.models.trying import PICTURES, try_vectors

# transformers' kinds of vision transformer whose first token stands for the picture.
KINDS = (
    *("vit", "deit", "beit", "data2vec-vision", "clip_vision_model"),
    *("dinov2", "dinov2_with_registers", "dinov3_vit"),
)


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

    The layer after the class token (`pooler`), which published files lack, is not used.

    Raises:
        UserError: there is none, it is broken, or it has no class token.
    """
    from transformers import AutoImageProcessor, AutoModel

    folder = Path(name).expanduser()
    if not folder.is_dir():
        if not is_hub_id(name):
            raise UserError(
                f"there is no DINO {str(name)!r}: give a folder, or a hub id such as "
                "facebook/dinov2-base."
            )
        folder = download_network(str(name))
    what = f"the DINO {name}"
    check_tables(folder, what)
    kind = read_table(folder / "config.json", what).get("model_type")
    if kind not in KINDS:
        raise UserError(
            f"{what} is of the kind {in_words(str(kind))!r}, and a vision transformer with a class "
            f"token is needed: {', '.join(KINDS)}."
        )
    model = load_network(AutoModel, folder, what, may_lack=("pooler.",))
    processor = load_processor(AutoImageProcessor, folder, what, backend="pil")
    dino = Dino(str(name), model.eval().to(device or "cpu"), processor)
    try_vectors(lambda: dino.images(PICTURES), what)
    return dino
