"""Into the model's spaces and back: pictures to latents, words to embeddings.

As in Stable Diffusion and the paper's code: the latents that are denoised are scaled by
`vae.config.scaling_factor`, those of the picture that is edited are not, and are the mode.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overpaint.errors import UserError
from overpaint.models.components import Components

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

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


@torch.no_grad()
def encode_pixels(vae: AutoencoderKL, pixels: Tensor) -> Any:
    """The posterior of pixels (B, 3, H, W) in [-1, 1], in the autoencoder's own number format.

    Unscaled, as everything that an encoder gives here.
    """
    with _own_format(vae):
        return vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist


def encode_mode(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """The posterior's mode, (B, C, h, w)."""
    mode: Tensor = encode_pixels(vae, pixels).mode()
    return mode


def encode_moments(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """The posterior's mean and deviation, (B, 2C, h, w)."""
    posterior = encode_pixels(vae, pixels)
    return torch.cat([posterior.mean, posterior.std], dim=1)


def sample_target(moments: Tensor, noise: Tensor | None, scaling_factor: float) -> Tensor:
    """z_0 = s (mean + deviation * noise), (B, C, h, w); without `noise` the mode, s * mean."""
    mean, deviation = moments.chunk(2, dim=1)
    return scaling_factor * (mean if noise is None else mean + deviation * noise)


def encode_pictures(model: Components, images: Sequence[Image.Image]) -> Tensor:
    """The latents that condition an edit, (B, C, h, w): the encoder's mode, unscaled."""
    return encode_mode(model.vae, to_pixels(images)).to(model.dtype)


@torch.no_grad()
def decode(model: Components, latents: Tensor) -> Tensor:
    """Scaled latents (B, C, h, w) to pixels (B, 3, H, W), about [-1, 1]."""
    vae = model.vae
    with _own_format(vae):
        latents = latents.to(vae.dtype) / vae.config.scaling_factor
        pixels: Tensor = vae.decode(latents, return_dict=False)[0]
    return pixels


def decode_latents(model: Components, latents: Tensor) -> np.ndarray:
    """The pictures of scaled latents (B, C, h, w): uint8 (B, H, W, 3).

    Raises:
        NotANumberError: of the model's output, as half precision can make it.
    """
    return to_pictures(decode(model, latents), str(model.dtype))


def to_pictures(pixels: Tensor, dtype: str) -> np.ndarray:
    """As `to_bytes`, of what a model gave that computes in `dtype`.

    Raises:
        NotANumberError: of some of it.
    """
    if not bool(torch.isfinite(pixels).all()):
        raise NotANumberError(not_a_number(dtype))
    return to_bytes(pixels)


def not_a_number(dtype: str) -> str:
    """The sentence for a picture of NaN, and what to do about it."""
    name = dtype.removeprefix("torch.")
    cure = (
        "its weights are broken, or the scales are too large"
        if name == "float32"
        else f"{name} is too coarse here, take the dtype float32"
    )
    return f"the model's output is not a number ({cure})."


@torch.no_grad()
def encode_texts(model: Components, texts: Sequence[str]) -> dict[str, Tensor]:
    """The text tower's last hidden states, (L, D) for each different text.

    L is the tokenizer's maximum; what goes beyond is cut off, as `cut_texts` tells.
    """
    unique = list(dict.fromkeys(texts))
    length = int(model.tokenizer.model_max_length)
    padding = int(model.tokenizer.pad_token_id)
    rows = [_of_length(length, ids, padding) for ids in _tokenise(model, unique)]
    with _own_format(model.text_encoder):
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


def _own_format(network: Any) -> torch.autocast:
    """Frozen networks compute in their own number format, also in a training loop's autocast."""
    return torch.autocast(network.device.type, enabled=False)


def shorten(text: str, length: int = 40) -> str:
    """The beginning of a text, on one line, for a message."""
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else line[: length - 3] + "..."
