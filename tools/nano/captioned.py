"""Captioned scenes as nano's text-to-image model and ControlNet learn from them.

Scenes over the whole catalogue, the objects that no edit shows too; compositions that are held
out are left out here as well. Pictures are encoded once, into memory-mapped arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from pydantic import BaseModel, Field
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from nano.pictures import to_tensor
from overpaint.diffusion.conditioning_dropout import drop_text
from overpaint.diffusion.processes import AlphaBar
from overpaint.errors import UserError
from overpaint.models.encoding import encode_mode
from overpaint.models.fingerprints import hash_tokenizer, hash_weights
from overpaint.models.loading import from_folder, load_network
from overpaint.scenes.catalogue import World
from overpaint.scenes.examples import is_held_out, sample_caption
from overpaint.scenes.layout import Scene, Version
from overpaint.scenes.rendering import render
from overpaint.seeds import derive_seed
from overpaint.training.cache import Fill, cached_arrays
from overpaint.training.micro_step import MicroStep
from overpaint.training.settings import LoopSettings

_AT_ONCE = 64


@dataclass(frozen=True)
class Captioned:
    """`count` captioned scenes, the n-th one a function of (seed, n)."""

    count: int
    world: World
    size: int
    edited: float
    seed: int
    version: Version = 1

    def scene(self, number: int) -> tuple[Scene, str]:
        """The n-th scene and its caption; the first draw that is not held out."""
        return next(self._draws(number))

    def _draws(self, number: int) -> Iterator[tuple[Scene, str]]:
        for attempt in range(1000):
            seed = derive_seed(self.seed, "captioned", number, attempt)
            scene, caption = sample_caption(seed, self.world, self.edited, self.version)
            if not is_held_out(scene):
                yield scene, caption

    def picture(self, number: int) -> np.ndarray:
        """The n-th scene drawn, uint8 (size, size, 3)."""
        return render(self.scene(number)[0], self.size)

    def describe(self) -> dict[str, Any]:
        """What decides about the scenes."""
        return dict(vars(self))


@dataclass(frozen=True)
class Parts:
    """nano's frozen parts, in float32."""

    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: DDIMScheduler


class CaptionedRecipe(BaseModel, extra="forbid", frozen=True):
    """What the recipes of both models that learn from captioned scenes have."""

    world: World = "small"
    version: Version = 1
    size: int = Field(64, ge=16, description="side of the pictures in pixels")
    scenes: int = Field(60_000, ge=1, description="captioned pictures to learn from")
    edited: float = Field(0.7, ge=0, le=1, description="share of them that an edit has changed")
    conditioning_dropout_prob: float = Field(0.1, ge=0, lt=1, description="captions left out")
    noisiest: float = Field(
        0.35, ge=0, le=1, description="samples drawn from the noisiest eighth of the timesteps"
    )
    loop: LoopSettings

    def captioned(self) -> Captioned:
        """The scenes."""
        return Captioned(
            self.scenes, self.world, self.size, self.edited, self.loop.seed, self.version
        )

    def latents(self, parts: Parts, cache: Path, state: Accelerator) -> CaptionedLatents:
        """The scenes as batches, encoded into `cache`."""
        return CaptionedLatents.of(
            self.captioned(),
            parts,
            cache,
            state,
            conditioning_dropout_prob=self.conditioning_dropout_prob,
            noisiest=self.noisiest,
        )


def load_parts(base: Path, device: torch.device) -> Parts:
    """The frozen parts of nano's base directory, or of a pipeline folder.

    Raises:
        UserError: `base` is not what `assemble` writes.
    """
    for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
        if not (base / part).is_dir():
            raise UserError(f"there is no {base / part}: run `assemble` first.")
    vae = load_network(AutoencoderKL, base / "vae")
    text_encoder = load_network(CLIPTextModel, base / "text_encoder")
    for part in (vae, text_encoder):
        part.float().eval().requires_grad_(False).to(device)
    tokenizer = from_folder(CLIPTokenizer, base / "tokenizer")
    return Parts(vae, text_encoder, tokenizer, from_folder(DDIMScheduler, base / "scheduler"))


@dataclass(frozen=True)
class Noised:
    """A batch: `noisy` and `wanted` (B, C, h, w), `timesteps` (B,), `text` (B, L, D) with some
    captions dropped, and which scenes these are, `rows` (B,) on the CPU."""

    rows: Tensor
    noisy: Tensor
    timesteps: Tensor
    text: Tensor
    wanted: Tensor


@dataclass(frozen=True)
class CaptionedLatents:
    """Noised batches of captioned scenes."""

    latents: np.ndarray
    tokens: np.ndarray
    parts: Parts
    conditioning_dropout_prob: float
    noisiest: float

    @classmethod
    def of(
        cls,
        scenes: Captioned,
        parts: Parts,
        cache: Path,
        state: Accelerator,
        *,
        conditioning_dropout_prob: float,
        noisiest: float,
    ) -> Self:
        """Encode the scenes into `cache`, or take what lies there; see the recipes for the rest."""
        latents = cached_latents(scenes, parts.vae, cache, state.is_main_process)
        tokens = cached_tokens(scenes, parts.tokenizer, cache, state.is_main_process)
        return cls(latents, tokens, parts, conditioning_dropout_prob, noisiest)

    def draw(self, step: MicroStep) -> Noised:
        """The batch of a step: rows, noise, timesteps and dropped captions follow from it."""
        rows = step.rows(len(self.latents))
        scale = self.parts.vae.config.scaling_factor
        clean = scale * take(self.latents, rows, step.device).float()
        dropped = step.uniform() < self.conditioning_dropout_prob
        noise = step.normal(*clean.shape[1:])
        scheduler = self.parts.scheduler
        alphas = scheduler.alphas_cumprod.to(step.device)
        process = AlphaBar(alphas, scheduler.config.prediction_type)
        timesteps = draw_timesteps(step, len(alphas), self.noisiest)
        return Noised(
            rows=rows,
            noisy=process.noised(clean, noise, timesteps),
            timesteps=timesteps,
            text=drop_text(self._encode(rows, step.device), self._null_text, dropped),
            wanted=process.target(clean, noise, timesteps),
        )

    @cached_property
    def _null_text(self) -> Tensor:
        """The empty caption's embedding, (1, L, D)."""
        return self._encode(torch.tensor([len(self.tokens) - 1]), self.parts.text_encoder.device)

    @torch.no_grad()
    def _encode(self, rows: Tensor, device: torch.device) -> Tensor:
        hidden: Tensor = self.parts.text_encoder(take(self.tokens, rows, device).long())[0]
        return hidden


def draw_timesteps(step: MicroStep, count: int, noisiest: float) -> Tensor:
    """int64 (B,): uniform over `count`, but a share `noisiest` of them over the last eighth.

    There it is decided what stands where; drawn uniformly, few samples teach that.
    """
    where, which = step.uniform(2).unbind(1)
    last = count - 1 - (where * (count // 8)).long()
    return torch.where(which < noisiest, last, (where * count).long())


def cached_latents(
    scenes: Captioned, vae: AutoencoderKL, folder: Path, is_main: bool
) -> np.ndarray:
    """The pictures' latents, mode, unscaled: float16 (count, C, h, w), memory-mapped."""
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    side = scenes.size // factor
    shape = (scenes.count, vae.config.latent_channels, side, side)

    def fill(rows: range) -> dict[str, np.ndarray]:
        pictures = to_tensor([scenes.picture(n) for n in rows])
        return {"latents": encode_mode(vae, pictures).cpu().numpy()}

    origin = {"scenes": scenes.describe(), "vae": hash_weights(vae)}
    return cached_array(
        folder, "captioned-latents", origin, "latents", shape, "float16", fill, is_main
    )


def cached_tokens(
    scenes: Captioned, tokenizer: CLIPTokenizer, folder: Path, is_main: bool
) -> np.ndarray:
    """The captions as token numbers, int32 (count + 1, L), memory-mapped; the last is empty."""
    length = tokenizer.model_max_length
    tokenize = partial(tokenizer, padding="max_length", max_length=length, truncation=True)

    def fill(rows: range) -> dict[str, np.ndarray]:
        captions = [scenes.scene(n)[1] if n < scenes.count else "" for n in rows]
        return {"tokens": np.array(tokenize(captions).input_ids, np.int32)}

    origin = {"scenes": scenes.describe(), "tokenizer": hash_tokenizer(tokenizer)}
    shape = (scenes.count + 1, length)
    return cached_array(folder, "captioned-tokens", origin, "tokens", shape, "int32", fill, is_main)


def cached_array(
    folder: Path,
    name: str,
    origin: Mapping[str, Any],
    key: str,
    shape: tuple[int, ...],
    dtype: str,
    fill: Fill,
    is_main: bool,
) -> np.ndarray:
    """The array `key`, computed once into `folder`; see `training.cache.cached_arrays`."""
    arrays = cached_arrays(
        folder, name, origin, {key: shape}, dtype, fill, chunk=_AT_ONCE, title=key, is_main=is_main
    )
    return arrays[key]


def take(array: np.ndarray, rows: Tensor, device: torch.device) -> Tensor:
    """Rows of a memory-mapped array as a tensor on `device`."""
    return torch.from_numpy(np.array(array[rows.numpy()])).to(device)
