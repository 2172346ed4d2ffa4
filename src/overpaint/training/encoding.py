"""Pictures to latents and instructions to embeddings, by the base's frozen networks.

As in Stable Diffusion and the paper's code: the edited picture's latents are scaled by
`vae.config.scaling_factor`, those of the original picture are not, and are the mode.

The networks compute in their own number format, also where the training loop has torch choose
another for the network that it trains (autocast).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from transformers import CLIPTextModel, CLIPTokenizer


@torch.no_grad()
def encode_mode(vae: AutoencoderKL, pixels: np.ndarray) -> Tensor:
    """Pixels (B, 3, H, W) in [-1, 1] to the mode of the posterior, unscaled (B, C, h, w)."""
    with _own_format(vae):
        posterior = vae.encode(_to(vae, pixels)).latent_dist
    mode: Tensor = posterior.mode()
    return mode


@torch.no_grad()
def encode_moments(vae: AutoencoderKL, pixels: np.ndarray) -> Tensor:
    """Pixels (B, 3, H, W) in [-1, 1] to the posterior's mean and deviation, (B, 2C, h, w)."""
    with _own_format(vae):
        posterior = vae.encode(_to(vae, pixels)).latent_dist
    return torch.cat([posterior.mean, posterior.std], dim=1)


def sample_target(moments: Tensor, noise: Tensor | None, scaling_factor: float) -> Tensor:
    """z_0 = s (mean + deviation * noise), (B, C, h, w); without `noise` the mode, s * mean."""
    mean, deviation = moments.chunk(2, dim=1)
    return scaling_factor * (mean if noise is None else mean + deviation * noise)


@torch.no_grad()
def encode_texts(
    tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel, texts: Sequence[str]
) -> Tensor:
    """Embeddings (B, L, D), each text padded or cut to the tokenizer's `model_max_length` L."""
    tokens = tokenizer(
        list(texts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    with _own_format(text_encoder):
        hidden: Tensor = text_encoder(tokens.input_ids.to(text_encoder.device)).last_hidden_state
    return hidden


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Scaled latents (B, C, h, w) to pixels (B, 3, H, W), about [-1, 1]."""
    with _own_format(vae):
        pixels: Tensor = vae.decode((latents / vae.config.scaling_factor).to(vae.dtype)).sample
    return pixels


def cut_texts(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> list[str]:
    """Those of `texts`, each once, that `encode_texts` cuts."""
    different = list(dict.fromkeys(texts))
    if not different:
        return []
    found = tokenizer(different, verbose=False).input_ids
    length = tokenizer.model_max_length
    return [text for text, ids in zip(different, found, strict=True) if len(ids) > length]


def _own_format(model: AutoencoderKL | CLIPTextModel) -> torch.autocast:
    return torch.autocast(model.device.type, enabled=False)


def _to(vae: AutoencoderKL, pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).to(vae.device, vae.dtype)
