"""Validation sheets: a few held-out pairs, what the model makes of them, what was wanted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from overpaint.contact_sheets import Cell, contact_sheet, in_words
from overpaint.diffusion.sampling import SampleRow, sample
from overpaint.families.contract import TrainableModel
from overpaint.images import save_image
from overpaint.seeds import derive_seed
from overpaint.training.augmentation import View, see
from overpaint.training.settings import TrainSettings


@dataclass(frozen=True)
class ValidationSheets:
    """Draws `folder/step-NNNNNNN.png` from held-out `pairs` whenever it is called."""

    pairs: Sequence[tuple[Image.Image, Image.Image, str]]
    base: TrainableModel
    settings: TrainSettings
    folder: Path

    def __call__(self, unet: nn.Module, done: int) -> dict[str, float]:
        """Edit the pairs with `unet`; the pixels' mean squared error in [0, 1] beside the
        input's own, for the log."""
        original, wanted = self._pixels(0), self._pixels(1)
        instructions = [instruction for _, _, instruction in self.pairs]
        result = self._edit(unet, original, instructions)
        cells = [
            Cell(_picture(pixels[i]))
            for i in range(len(instructions))
            for pixels in (original, result, wanted)
        ]
        options = {
            f"--{name.replace('_', '-')}": getattr(self.settings, name)
            for name in ("num_inference_steps", "guidance_scale", "image_guidance_scale", "seed")
        }
        sheet = contact_sheet(
            cells,
            3,
            title=f"step {done}",
            subtitle=in_words(options),
            column_headers=("original", "result", "wanted"),
            row_headers=instructions,
        )
        made = {"step": done, "model": self.settings.model, "options": options}
        save_image(
            sheet, self.folder / f"step-{done:07d}.png", metadata={"overpaint": json.dumps(made)}
        )
        return {
            "validation_mse": float(np.mean((result - wanted) ** 2) / 4),
            "validation_mse_of_input": float(np.mean((original - wanted) ** 2) / 4),
        }

    def _pixels(self, which: Literal[0, 1]) -> np.ndarray:
        side = self.settings.resolution
        return np.stack([see(pair[which], View(side), side) for pair in self.pairs])

    def _edit(self, unet: nn.Module, original: np.ndarray, instructions: list[str]) -> np.ndarray:
        settings, model = self.settings, self.base.with_network(unet)
        source = torch.from_numpy(original)
        rows = [
            SampleRow(derive_seed(settings.seed, "validation", i), settings.sampler)
            for i in range(len(source))
        ]
        size = settings.resolution, settings.resolution
        latents = sample(model, model.condition(source, instructions), rows, size).latents
        pixels: np.ndarray = model.decode(latents, size).float().clamp(-1, 1).cpu().numpy()
        return pixels


def _picture(pixels: np.ndarray) -> Image.Image:
    """(3, H, W) in [-1, 1] as a PIL picture."""
    return Image.fromarray(np.rint((pixels.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8))
