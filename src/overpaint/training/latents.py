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
from overpaint.models.encoding import encode_mode, encode_texts
from overpaint.rows import PICTURE_COLUMNS
from overpaint.training.augmentation import View, draw_view, see
from overpaint.training.cache import cached_arrays, hash_tokenizer, hash_weights
from overpaint.training.settings import TrainSettings

if TYPE_CHECKING:
    from PIL.Image import Image

    from overpaint.families.ip2p import InstructPix2Pix

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
        texts: np.ndarray,
        text_of_row: np.ndarray,
        device: torch.device,
        sampled: bool = True,
    ) -> None:
        self.latents, self.texts, self.text_of_row = latents, texts, text_of_row
        self.device, self.sampled = device, sampled
        self.flips = latents["source"].shape[1] == 2
        self.null_text = self._load(texts[:1])

    def take(self, rows: Tensor, u: Tensor) -> Batch:
        """See `Batches.take`."""
        index = rows.numpy()
        flip = (u[:, 0] < 0.5).long().numpy() if self.flips else np.zeros(len(index), np.int64)
        text = self._load(self.texts[self.text_of_row[index]])
        condition = {
            "picture": self._load(self.latents["source"][index, flip]),
            "text": text,
            "null_text": self.null_text.expand_as(text),
        }
        moments = self._load(self.latents["moments"][index, flip])
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
    base: InstructPix2Pix,
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
    latents = _cache_latents(pairs, data_hash, base, settings, folder, is_main)
    texts, text_of_row = _cache_texts(pairs, base, settings, folder, is_main)
    sampled = settings.target_latents == "sample"
    return CachedBatches(latents, texts, text_of_row, base.vae.device, sampled)


def _cache_latents(
    pairs: ParquetRows,
    data_hash: str,
    base: InstructPix2Pix,
    settings: TrainSettings,
    folder: Path,
    is_main: bool,
) -> dict[str, np.ndarray]:
    reader = EncodedBatches(pairs, base, settings)
    views = [View(settings.resolution, flip=f) for f in (False, True)[: 1 + settings.random_flip]]

    def fill(rows: range) -> dict[str, np.ndarray]:
        numbers = [n for n in rows for _ in views]
        source, edited, _ = reader.read(numbers, views * len(rows))
        shape = (len(rows), len(views))
        encoded = {
            "source": encode_mode(base.vae, source),
            "moments": base.posterior(edited),
        }
        return {
            key: value.reshape(*shape, *value.shape[1:]).float().cpu().numpy()
            for key, value in encoded.items()
        }

    side = settings.resolution // base.vae_factor
    shape = (len(pairs), len(views), base.latent_channels, side, side)
    shapes = {"source": shape, "moments": (*shape[:2], 2 * shape[2], side, side)}
    origin = {
        "pairs": data_hash,
        "vae": hash_weights(base.vae),
        "resolution": settings.resolution,
        **_computed(base.vae),
    }
    chunk = max(1, settings.encode_batch_size // len(views))
    return cached_arrays(
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


def _cache_texts(
    pairs: ParquetRows, base: InstructPix2Pix, settings: TrainSettings, folder: Path, is_main: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the empty text and each different instruction, and which one a row has."""
    prompts = [
        text_of(prompt, f"row {row} of {pairs.folder}, edit_prompt")
        for row, prompt in enumerate(pairs["edit_prompt"])
    ]
    texts = list(dict.fromkeys(["", *prompts]))
    number = {text: i for i, text in enumerate(texts)}

    def fill(rows: range) -> dict[str, np.ndarray]:
        some = [texts[i] for i in rows]
        states = encode_texts(base, some)
        return {"text": torch.stack([states[text] for text in some]).float().cpu().numpy()}

    length, width = base.tokenizer.model_max_length, base.text_encoder.config.hidden_size
    shapes = {"text": (len(texts), length, width)}
    origin = {
        "texts": text_digest(texts),
        "text encoder": hash_weights(base.text_encoder),
        "tokenizer": hash_tokenizer(base.tokenizer),
        **_computed(base.text_encoder),
    }
    arrays = cached_arrays(
        folder,
        "texts",
        origin,
        shapes,
        settings.cache_dtype,
        fill,
        chunk=TEXTS_AT_ONCE,
        title="instructions",
        is_main=is_main,
    )
    return arrays["text"], np.array([number[prompt] for prompt in prompts])


def _computed(network: Any) -> dict[str, Any]:
    """How a network computes, as far as its numbers depend on it."""
    device = network.device.type
    threads = torch.get_num_threads() if device == "cpu" else None
    return {"computed in": str(network.dtype), "device": device, "threads": threads}
