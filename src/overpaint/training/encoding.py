"""Pictures to latents and instructions to embeddings, by the base's frozen networks.

As in Stable Diffusion and the paper's code: the edited picture's latents are scaled by
`vae.config.scaling_factor`, those of the original picture are not, and are the mode.
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
    posterior = vae.encode(_to(vae, pixels)).latent_dist
    mode: Tensor = posterior.mode()
    return mode


@torch.no_grad()
def encode_moments(vae: AutoencoderKL, pixels: np.ndarray) -> Tensor:
    """Pixels (B, 3, H, W) in [-1, 1] to the posterior's mean and deviation, (B, 2C, h, w)."""
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
    hidden: Tensor = text_encoder(tokens.input_ids.to(text_encoder.device)).last_hidden_state
    return hidden


def _to(vae: AutoencoderKL, pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).to(vae.device, vae.dtype)
