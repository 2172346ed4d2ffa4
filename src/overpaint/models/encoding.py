"""Into the model's spaces and back: pictures to latents, words to embeddings."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overpaint.errors import UserError
from overpaint.models.components import Components

_TOKENIZING = threading.Lock()


class NotANumberError(UserError):
    """A model drew a picture of NaN."""


def to_pixels(images: Sequence[Image.Image]) -> Tensor:
    """RGB pictures of one size to (B, 3, H, W) float32 in [-1, 1]."""
    array = np.stack([np.asarray(image, dtype=np.float32) for image in images])
    return torch.from_numpy(array / 255.0).permute(0, 3, 1, 2) * 2.0 - 1.0


def to_bytes(pixels: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] (clipped) to uint8 (B, H, W, 3)."""
    unit = (pixels.float() * 0.5 + 0.5).clamp(0.0, 1.0)
    array: np.ndarray = (unit * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return array


@torch.inference_mode()
def encode_pictures(model: Components, images: Sequence[Image.Image]) -> Tensor:
    """The latents that condition an edit, (B, C, h, w): the encoder's mode, unscaled."""
    pixels = to_pixels(images).to(model.device, model.vae.dtype)
    latents: Tensor = model.vae.encode(pixels).latent_dist.mode()
    return latents.to(model.dtype)


@torch.inference_mode()
def decode_latents(model: Components, latents: Tensor) -> np.ndarray:
    """The pictures of scaled latents (B, C, h, w): uint8 (B, H, W, 3).

    Raises:
        NotANumberError: of the model's output, as half precision can make it.
    """
    latents = latents.to(model.vae.dtype) / model.vae.config.scaling_factor
    pixels = model.vae.decode(latents, return_dict=False)[0]
    if not bool(torch.isfinite(pixels).all()):
        raise NotANumberError(not_a_number(model.dtype))
    return to_bytes(pixels)


def not_a_number(dtype: torch.dtype) -> str:
    """The sentence for a picture of NaN, and what to do about it."""
    name = str(dtype).removeprefix("torch.")
    cure = (
        "its weights are broken, or the scales are too large"
        if dtype == torch.float32
        else f"{name} is too coarse here, take the dtype float32"
    )
    return f"the model's output is not a number ({cure})."


@torch.inference_mode()
def encode_texts(model: Components, texts: Sequence[str]) -> dict[str, Tensor]:
    """The text tower's last hidden states, (L, D) for each different text.

    L is the tokenizer's maximum; what goes beyond is cut off, as `cut_texts` tells.
    """
    unique = list(dict.fromkeys(texts))
    length = int(model.tokenizer.model_max_length)
    padding = int(model.tokenizer.pad_token_id)
    rows = [_of_length(length, ids, padding) for ids in _tokenise(model, unique)]
    states = model.text_encoder(torch.tensor(rows, device=model.device))[0].to(model.dtype)
    return dict(zip(unique, states, strict=True))


def cut_texts(model: Components, texts: Sequence[str]) -> dict[str, str]:
    """Those of `texts` that are longer than the model reads, each with the sentence that says so."""
    unique = list(dict.fromkeys(texts))
    length = int(model.tokenizer.model_max_length)
    return {
        text: f"the instruction {shorten(text)!r} is too long: the model reads its first "
        f"{length - 2} of {len(ids) - 2} tokens, the rest is ignored."
        for text, ids in zip(unique, _tokenise(model, unique), strict=True)
        if len(ids) > length
    }


def _tokenise(model: Components, texts: Sequence[str]) -> list[list[int]]:
    """The whole token ids of each text, its first and last token included.

    Padding and truncation are set on the tokenizer's shared backend and stay there, so threads
    that asked for them would change each other's; plain calls leave it alone. All but the first:
    that takes off what the tokenizer's file or another caller had set, hence the lock.
    """
    with _TOKENIZING:
        ids: list[list[int]] = model.tokenizer(list(texts), verbose=False).input_ids
    return ids


def _of_length(length: int, ids: list[int], padding: int) -> list[int]:
    """`ids` filled up to `length`, or cut to it before the last token, which ends a text."""
    kept = ids if len(ids) <= length else [*ids[: length - 1], ids[-1]]
    return kept + [padding] * (length - len(kept))


def shorten(text: str, length: int = 40) -> str:
    """The beginning of a text, on one line, for a message."""
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else line[: length - 3] + "..."
