"""What the loop asks at each step: the U-Net's branches in one batch, guided into one answer.

A batch of B pictures needs R rows of the U-Net, laid out by a `BranchPlan`. What the rows are
shown beside the noisy latents is put together once, before the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from overpaint.diffusion.guidance import BranchPlan, BranchRows, guide

if TYPE_CHECKING:
    from torch import nn

Predict = Callable[[Tensor, Tensor], Tensor]
"""(noisy latents (B, C, h, w) as the scheduler scales them, timestep) -> the guided answer."""

Control = Callable[[Tensor, Tensor, Tensor], dict[str, Any]]
"""(rows (R, C, h, w), timestep, context (R, L, D)) -> more arguments for the U-Net."""


def edit_prediction(
    unet: nn.Module, plan: BranchPlan, image_latents: Tensor, text: Tensor, null_text: Tensor
) -> Predict:
    """Equation 3 of arXiv:2211.09800.

    Args:
        unet: predicts from 2C channels, the noisy latents first, then those of the picture.
        plan: of B samples, from `plan_branches`.
        image_latents: (B, C, h, w), the mode of the encoder, unscaled.
        text, null_text: (B, L, D) for the instructions, (1, L, D) for the empty one.
    """
    condition = torch.cat([_image_of(part, image_latents) for part in plan])
    context = _context(plan, text, null_text)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        model_input = torch.cat([latents[plan.samples], condition], dim=1)
        return guide(unet(model_input, timestep, context, return_dict=False)[0], plan)

    return predict


def text_prediction(
    unet: nn.Module,
    plan: BranchPlan,
    text: Tensor,
    null_text: Tensor,
    control: Control | None = None,
) -> Predict:
    """Classifier-free guidance by a text alone (arXiv:2207.12598, eq. 6).

    Args:
        unet: predicts from the C channels of the noisy latents.
        plan: of B samples, from `plan_text`.
        text, null_text: (B, L, D) for the captions, (1, L, D) for the empty one.
        control: what else the U-Net is given at a step, such as a ControlNet's residuals.
    """
    context = _context(plan, text, null_text)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        rows = latents[plan.samples]
        more = control(rows, timestep, context) if control is not None else {}
        return guide(unet(rows, timestep, context, return_dict=False, **more)[0], plan)

    return predict


def controlnet_residuals(
    controlnet: nn.Module, plan: BranchPlan, hints: Tensor, scales: Tensor
) -> Control:
    """What a ControlNet adds to the U-Net (arXiv:2302.05543), in every branch alike.

    Args:
        controlnet: a diffusers ControlNetModel for that U-Net.
        plan: of B samples, the U-Net's.
        hints: B hints as `controlnet` takes them.
        scales: (B,), the factor on all residuals of a sample.
    """
    rows_hints = hints[plan.samples]
    rows_scales = scales[plan.samples].view(-1, 1, 1, 1)

    def control(rows: Tensor, timestep: Tensor, context: Tensor) -> dict[str, Any]:
        down, middle = controlnet(
            rows,
            timestep,
            encoder_hidden_states=context,
            controlnet_cond=rows_hints,
            conditioning_scale=rows_scales,
            return_dict=False,
        )
        return {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }

    return control


def _context(plan: BranchPlan, text: Tensor, null_text: Tensor) -> Tensor:
    return torch.cat([_text_of(part, text, null_text) for part in plan])


def _image_of(part: BranchRows, image_latents: Tensor) -> Tensor:
    """A branch's picture: the source's latents, or zeros."""
    latents = image_latents[part.samples]
    return latents if part.branch.image else torch.zeros_like(latents)


def _text_of(part: BranchRows, text: Tensor, null_text: Tensor) -> Tensor:
    """A branch's text: the instructions, or the empty one."""
    return text[part.samples] if part.branch.text else null_text.expand(len(part.samples), -1, -1)
