"""The sampling loop: noise in, latents out.

Plain functions over explicit tensors. What a step needs is laid out before the first one
(timesteps, branches, contexts), so the loop never waits for the device. Each picture draws
from its own random stream: a seed gives the same picture alone and in any batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from overpaint.diffusion.prediction import Predict

BeforeStep = Callable[[int, int, Tensor], None]
"""Called with (step, number of steps, latents) before the model is; an error raised stops it."""


def seeded_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One random stream per picture, on the CPU: the same numbers whatever the device."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def draw_noise(
    shape: Sequence[int],
    generators: Sequence[torch.Generator],
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Standard normal noise (B, C, H, W), sample i from generators[i]; `shape` is (C, H, W)."""
    noise = [torch.randn((1, *shape), generator=g, dtype=dtype) for g in generators]
    return torch.cat(noise).to(device)


@torch.inference_mode()
def denoise(
    predict: Predict,
    scheduler: Any,
    noise: Tensor,
    generators: Sequence[torch.Generator],
    before_step: BeforeStep | None = None,
) -> Tensor:
    """Follow the scheduler from noise to latents, asking `predict` at each of its timesteps.

    Args:
        predict: the guided model, see `diffusion.prediction`.
        scheduler: a diffusers scheduler on which `set_timesteps` was called, its timesteps on
            the CPU; used up here.
        noise: (B, C, h, w), standard normal.
        generators: B random streams, already used for `noise`; some schedulers draw more.
        before_step: see `BeforeStep`.

    Returns:
        (B, C, h, w) latents, scaled as the U-Net sees them.
    """
    timesteps = scheduler.timesteps
    clock = timesteps.to(noise.device)
    step_options = _step_options(scheduler, generators)

    latents = noise * scheduler.init_noise_sigma
    for i, timestep in enumerate(timesteps):
        if before_step is not None:
            before_step(i, len(timesteps), latents)
        scaled = scheduler.scale_model_input(latents, timestep)
        guided = predict(scaled, clock[i])
        latents = scheduler.step(guided, timestep, latents, return_dict=False, **step_options)[0]
    return latents


def _step_options(scheduler: Any, generators: Sequence[torch.Generator]) -> dict[str, object]:
    """Only some schedulers draw noise in `step`; those take the random streams."""
    if "generator" in inspect.signature(scheduler.step).parameters:
        return {"generator": list(generators)}
    return {}
