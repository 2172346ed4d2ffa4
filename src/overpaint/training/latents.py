"""What the editing U-Net learns from: latents of both pictures and embeddings of instructions.

Two sources give the same batches: `CachedBatches` reads what was encoded once before training
(with random flips both versions of each picture), `EncodedBatches` decodes and encodes the
pictures in every step, which random crops need.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from overpaint.data.cells import picture_of, text_of
from overpaint.data.parquet import ParquetRows
from overpaint.diffusion.sampling import Condition
from overpaint.digests import text_digest
from overpaint.families.contract import TrainableModel
from overpaint.rows import PICTURE_COLUMNS
from overpaint.training.augmentation import View, draw_view, see
from overpaint.training.cache import cached_arrays
from overpaint.training.settings import TrainSettings

if TYPE_CHECKING:
    from PIL.Image import Image

TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class Batch:
    """Float32 on the model's device, B samples.

    `condition` is what the network is shown (see `TrainableModel.condition`), `moments` what
    `TrainableModel.posterior` gives of the edited pictures; the target is a sample of these where
    `sampled`, else their mode.
    """

    condition: Condition
    moments: Tensor
    sampled: bool = True


class Batches(Protocol):
    """A source of batches."""

    def take(self, rows: Tensor, u: Tensor) -> Batch:
        """The batch of these rows (B,), seen as the uniform numbers `u` (B, DRAWS) say."""


class CachedBatches:
    """Batches from memory-mapped arrays; see `precompute`."""

    def __init__(
        self,
        latents: dict[str, np.ndarray],
        texts: dict[str, np.ndarray],
        text_of_row: np.ndarray,
        model: TrainableModel,
        device: torch.device,
        sampled: bool = True,
    ) -> None:
        self.latents, self.texts, self.text_of_row = latents, texts, text_of_row
        self.model, self.device, self.sampled = model, device, sampled
        self.flips = latents["moments"].shape[1] == 2
        self.empty = {name: self._load(values[:1]) for name, values in texts.items()}

    def take(self, rows: Tensor, u: Tensor) -> Batch:
        """See `Batches.take`."""
        index = rows.numpy()
        flip = (u[:, 0] < 0.5).long().numpy() if self.flips else np.zeros(len(index), np.int64)
        pictures = {name: self._load(v[index, flip]) for name, v in self.latents.items()}
        moments, text = pictures.pop("moments"), self.text_of_row[index]
        texts = {name: self._load(values[text]) for name, values in self.texts.items()}
        condition = self.model.joined(pictures, texts, self.empty)
        return Batch(condition, moments, self.sampled)

    def _load(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device, non_blocking=True).float()


class EncodedBatches:
    """Batches encoded in the loop by the base's frozen networks."""

    def __init__(self, pairs: ParquetRows, base: TrainableModel, settings: TrainSettings) -> None:
        self.pairs, self.base, self.settings = pairs, base, settings
        self.pool = ThreadPoolExecutor(4)

    def take(self, rows: Tensor, u: Tensor) -> Batch:
        """See `Batches.take`."""
        s, base = self.settings, self.base
        views = [
            draw_view(
                draws,
                s.resolution,
                flip=s.random_flip,
                crop=s.random_crop,
                resize_up_to=s.resize_up_to,
            )
            for draws in u.tolist()
        ]
        source, edited, texts = self.read(rows.tolist(), views)
        size = s.encode_batch_size
        moments = [base.posterior(part) for part in edited.split(size)]
        shown = [
            base.condition(part, texts[i * size : (i + 1) * size])
            for i, part in enumerate(source.split(size))
        ]
        condition = {name: torch.cat([part[name] for part in shown]).float() for name in shown[0]}
        return Batch(condition, torch.cat(moments).float(), s.target_latents == "sample")

    def read(self, rows: list[int], views: list[View]) -> tuple[Tensor, Tensor, list[str]]:
        """Both pictures of these rows, (B, 3, side, side) in [-1, 1], and the instructions."""
        found = list(self.pool.map(self._read_one, rows, views))
        source, edited, texts = zip(*found, strict=True)
        pixels = (torch.from_numpy(np.stack(pictures)) for pictures in (source, edited))
        return next(pixels), next(pixels), list(texts)

    def _read_one(self, row: int, view: View) -> tuple[np.ndarray, np.ndarray, str]:
        original, edited, text = read_pair(self.pairs, row)
        if edited.size != original.size:
            edited = edited.resize(original.size)
        side = self.settings.resolution
        return see(original, view, side), see(edited, view, side), text


def read_pair(pairs: ParquetRows, row: int) -> tuple[Image, Image, str]:
    """The two pictures of a row and its instruction.

    Raises:
        UserError: one of them is missing or cannot be read, with its place.
    """
    cells, where = pairs[row], f"row {row} of {pairs.folder}"
    original, edited = (
        picture_of(cells[name], pairs.folder, f"{where}, {name}") for name in PICTURE_COLUMNS
    )
    return original, edited, text_of(cells["edit_prompt"], f"{where}, edit_prompt")


def precompute(
    pairs: ParquetRows,
    data_hash: str,
    base: TrainableModel,
    settings: TrainSettings,
    folder: Path,
    is_main: bool = True,
) -> CachedBatches:
    """Encode every picture (and its mirror image) and every instruction once, into `folder`.

    `data_hash` is a hash of the pairs' files. The arrays' names hold it and hashes of the
    networks. What was there is used.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    of_pictures, of_texts = base.encoders()
    origin = {"pairs": data_hash, "resolution": settings.resolution, **of_pictures}
    latents, device = _cache_latents(pairs, origin, base, settings, folder, is_main)
    texts, text_of_row = _cache_texts(pairs, of_texts, base, settings, folder, is_main)
    sampled = settings.target_latents == "sample"
    return CachedBatches(latents, texts, text_of_row, base, device, sampled)


def _cache_latents(
    pairs: ParquetRows,
    origin: dict[str, Any],
    base: TrainableModel,
    settings: TrainSettings,
    folder: Path,
    is_main: bool,
) -> tuple[dict[str, np.ndarray], torch.device]:
    """(rows, views, ...) of both pictures, and the device on which the base encodes."""
    reader = EncodedBatches(pairs, base, settings)
    views = [View(settings.resolution, flip=f) for f in (False, True)[: 1 + settings.random_flip]]

    def encoded(source: Tensor, edited: Tensor) -> dict[str, Tensor]:
        return {**base.picture_part(source), "moments": base.posterior(edited)}

    def fill(rows: range) -> dict[str, np.ndarray]:
        numbers = [n for n in rows for _ in views]
        source, edited, _ = reader.read(numbers, views * len(rows))
        shape = (len(rows), len(views))
        return {
            key: value.reshape(*shape, *value.shape[1:]).float().cpu().numpy()
            for key, value in encoded(source, edited).items()
        }

    blank = torch.zeros(1, 3, settings.resolution, settings.resolution)
    one = encoded(blank, blank)  # what shapes there are, only the family knows
    shapes = {key: (len(pairs), len(views), *value.shape[1:]) for key, value in one.items()}
    chunk = max(1, settings.encode_batch_size // len(views))
    arrays = cached_arrays(
        folder,
        "latents",
        origin,
        shapes,
        settings.cache_dtype,
        fill,
        chunk=chunk,
        title="latents",
        is_main=is_main,
    )
    return arrays, one["moments"].device


def _cache_texts(
    pairs: ParquetRows,
    origin: dict[str, Any],
    base: TrainableModel,
    settings: TrainSettings,
    folder: Path,
    is_main: bool,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What stands for the empty text and each different instruction, and which one a row has."""
    prompts = [
        text_of(prompt, f"row {row} of {pairs.folder}, edit_prompt")
        for row, prompt in enumerate(pairs["edit_prompt"])
    ]
    texts = list(dict.fromkeys(["", *prompts]))
    number = {text: i for i, text in enumerate(texts)}

    def fill(rows: range) -> dict[str, np.ndarray]:
        some = base.text_part([texts[i] for i in rows])
        return {name: value.float().cpu().numpy() for name, value in some.items()}

    empty = base.text_part([""])
    shapes = {name: (len(texts), *value.shape[1:]) for name, value in empty.items()}
    arrays = cached_arrays(
        folder,
        "texts",
        {"texts": text_digest(texts), **origin},
        shapes,
        settings.cache_dtype,
        fill,
        chunk=TEXTS_AT_ONCE,
        title="instructions",
        is_main=is_main,
    )
    return arrays, np.array([number[prompt] for prompt in prompts])
