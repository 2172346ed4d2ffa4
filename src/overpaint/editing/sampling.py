"""The sampling loop: noise in, edited latents out.

Plain functions over explicit tensors. What a step needs is laid out before the first one
(timesteps, branches, contexts), so the loop never waits for the device. Each picture draws
from its own random stream: a seed gives the same picture alone and in any batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from overpaint.diffusion.guidance import BranchRows, Scales, guide, plan_branches

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

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
    # the model and its schedule
    unet: UNet2DConditionModel,
    scheduler: Any,
    timesteps: Tensor,
    # what is edited, and how
    noise: Tensor,
    image_latents: Tensor,
    text: Tensor,
    null_text: Tensor,
    scales: Sequence[Scales],
    # randomness of schedulers that add noise on the way, and a hook
    generators: Sequence[torch.Generator],
    before_step: BeforeStep | None = None,
) -> Tensor:
    """Follow the scheduler from noise to edited latents under equation 3 of arXiv:2211.09800.

    Args:
        unet: predicts from 2C channels, the noisy latents first, then those of the picture.
        scheduler: a diffusers scheduler on which `set_timesteps` was called; used up here.
        timesteps: `scheduler.timesteps`, on the CPU.
        noise: (B, C, h, w), standard normal.
        image_latents: (B, C, h, w), the mode of the encoder, unscaled.
        text, null_text: (B, L, D) for the instructions, (1, L, D) for the empty one.
        scales: B pairs (s_T, s_I).
        generators: B random streams, already used for `noise`.
        before_step: see `BeforeStep`.

    Returns:
        (B, C, h, w) latents, scaled as the U-Net sees them.
    """
    plan = plan_branches(scales, noise.device)
    condition = torch.cat([_image_of(part, image_latents) for part in plan])
    context = torch.cat([_text_of(part, text, null_text) for part in plan])
    clock = timesteps.to(noise.device)
    step_options = _step_options(scheduler, generators)

    latents = noise * scheduler.init_noise_sigma
    for i, timestep in enumerate(timesteps):
        if before_step is not None:
            before_step(i, len(timesteps), latents)
        scaled = scheduler.scale_model_input(latents, timestep)
        model_input = torch.cat([scaled[plan.samples], condition], dim=1)
        prediction = unet(model_input, clock[i], context, return_dict=False)[0]
        guided = guide(prediction, plan)
        latents = scheduler.step(guided, timestep, latents, return_dict=False, **step_options)[0]
    return latents


def _image_of(part: BranchRows, image_latents: Tensor) -> Tensor:
    """A branch's picture: the source's latents, or zeros."""
    latents = image_latents[part.samples]
    return latents if part.branch.image else torch.zeros_like(latents)


def _text_of(part: BranchRows, text: Tensor, null_text: Tensor) -> Tensor:
    """A branch's text: the instructions, or the empty one."""
    return text[part.samples] if part.branch.text else null_text.expand(len(part.samples), -1, -1)


def _step_options(scheduler: Any, generators: Sequence[torch.Generator]) -> dict[str, object]:
    """Only some schedulers draw noise in `step`; those take the random streams."""
    if "generator" in inspect.signature(scheduler.step).parameters:
        return {"generator": list(generators)}
    return {}
