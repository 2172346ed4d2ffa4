"""Text-to-image sampling in batches, as both methods of this stage use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from overpaint.diffusion.guidance import BranchPlan, plan_branches, text_asks
from overpaint.diffusion.sampling import BeforeStep, SampleRow, sample
from overpaint.errors import UserError
from overpaint.models import TextToImageModel
from overpaint.models.encoding import NotANumberError, decode_latents, encode_texts
from overpaint.models.stable_diffusion import text_rows
from overpaint.pairs.settings import PairsSettings, SchedulerName
from overpaint.sampler import SamplerSettings

ItemT = TypeVar("ItemT")


class Sampler:
    """Samples batches of pictures from captions with one model.

    Args:
        model: the text-to-image model.
        settings: its resolution, steps and scheduler are used.
        scheduler: takes the place of the settings' one.

    Raises:
        UserError: the resolution is no multiple of what the U-Net halves, or there are more steps
            than the model's noise schedule has.
    """

    def __init__(
        self,
        model: TextToImageModel,
        settings: PairsSettings,
        scheduler: SchedulerName | None = None,
    ) -> None:
        self.model = model
        self.side = settings.resolution or model.native_size
        self.steps = settings.num_inference_steps
        self.scheduler = scheduler or settings.scheduler
        if self.side % model.coarsest_factor:
            raise UserError(
                f"{model.name} cannot draw at {self.side} pixels: set `resolution` to a multiple "
                f"of {model.coarsest_factor}."
            )
        # Convolutions are a sixth to a third faster with the channels innermost.
        for part in (model.unet, model.controlnet, model.vae):
            if part is not None:
                part.to(memory_format=torch.channels_last)
        most = int(model.scheduler.config.num_train_timesteps)
        if self.steps > most:
            raise UserError(f"{self.steps} steps do not work: take from 1 to {most}.")

    def embed(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Embeddings (L, D) of every different caption and of the empty one.

        What goes beyond the text tower's length is cut off.
        """
        return encode_texts(self.model, ["", *prompts])

    def plan(self, guidance_scales: Sequence[float]) -> BranchPlan:
        """The rows of the U-Net that pictures with these guidance scales need."""
        return plan_branches([text_asks(scale) for scale in guidance_scales], self.model.device)

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        guidance_scales: Sequence[float],
        texts: dict[str, Tensor],
        hint: dict[str, Tensor] | None = None,
        before_step: BeforeStep | None = None,
    ) -> np.ndarray:
        """The pictures, uint8 (B, side, side, 3), each as if it were sampled alone.

        Args:
            prompts: the captions of the B pictures, which share one batch.
            seeds: where the noise of each comes from.
            guidance_scales: how close to its caption each is.
            texts: embeddings of the captions, from `embed`.
            hint: what steers the ControlNet, see `TextToImageModel`.
            before_step: see `diffusion.sampling.sample`.

        Raises:
            ArithmeticError: the model's output is not a number, which is one row's fault.
        """
        scheduler = make_scheduler(self.model.scheduler, self.scheduler)
        model = replace(self.model, scheduler=scheduler)
        condition = {**text_rows(texts, prompts), **(hint or {})}
        rows = [
            SampleRow(seed, SamplerSettings(num_inference_steps=self.steps, guidance_scale=scale))
            for seed, scale in zip(seeds, guidance_scales, strict=True)
        ]
        found = sample(model, condition, rows, (self.side, self.side), before_step)
        try:
            return decode_latents(model, found.latents)
        except NotANumberError as error:
            raise ArithmeticError(str(error)) from error


def make_scheduler(pattern: Any, name: SchedulerName | None) -> Any:
    """A fresh scheduler: the model's own, or another one on the model's noise schedule."""
    from diffusers import DDIMScheduler, EulerAncestralDiscreteScheduler, PNDMScheduler

    # Latents have no bounds to clip at; Stable Diffusion's PNDM leaves Runge-Kutta's steps out. It
    # divides by the signal, so it has no rescaling of the betas to zero signal (2305.08891).
    if name == "ddim":
        return DDIMScheduler.from_config(pattern.config, clip_sample=False)
    if name == "pndm":
        return PNDMScheduler.from_config(pattern.config, skip_prk_steps=True)
    if name == "euler-ancestral":
        return EulerAncestralDiscreteScheduler.from_config(pattern.config)
    return type(pattern).from_config(pattern.config)


def uniform(bounds: tuple[float, float], seed: int) -> float:
    """A number between two bounds that depends on the seed alone."""
    return Random(seed).uniform(*bounds)


def batches(items: Sequence[ItemT], size: int) -> Iterator[Sequence[ItemT]]:
    """The items in their order, `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
