"""Stable Diffusion on the sampling loop: what editing and drawing with it have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn

from overpaint.diffusion.conditioning_dropout import drop_image, drop_text
from overpaint.diffusion.guidance import PICTURE, TEXT, BranchPlan, guide
from overpaint.diffusion.processes import AlphaBar
from overpaint.diffusion.sampling import Condition, Steps, draw_noise
from overpaint.models.components import Components
from overpaint.models.encoding import decode, encode_texts


@dataclass
class StableDiffusion(Components):
    """What every kind of it gives to `sample` and to the training loss.

    Conditions: `text` and `null_text` (B, L, D), the latter for the empty text; where the U-Net is
    shown a picture, `picture` (B, C, h, w).
    """

    @classmethod
    def of(cls, parts: Components) -> Self:
        """The model of these parts, which are shared."""
        return cls(**{field.name: getattr(parts, field.name) for field in fields(Components)})

    @property
    def network(self) -> nn.Module:
        """What is asked at each step, and trained."""
        return self.unet

    @cached_property
    def process(self) -> AlphaBar:
        """The forward process of the scheduler, on the model's device."""
        alphas = self.scheduler.alphas_cumprod.to(self.vae.device)
        return AlphaBar(alphas, self.scheduler.config.get("prediction_type", "epsilon"))

    @property
    def most_steps(self) -> int:
        """How many steps the noise schedule has."""
        return int(self.scheduler.config.num_train_timesteps)

    def text_condition(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`text` and `null_text` of these texts, (B, L, D) each."""
        return text_rows(encode_texts(self, ["", *texts]), texts)

    def hide(
        self, condition: Condition, what: Collection[str], rows: Tensor | None = None
    ) -> Condition:
        """No text is the empty one; no picture is zeros."""
        shown = dict(condition)
        for name in what:
            value = shown[name]
            hidden = rows if rows is not None else value.new_ones(len(value), dtype=torch.bool)
            if name == TEXT:
                shown[name] = drop_text(value, condition["null_text"], hidden)
            elif name == PICTURE:
                shown[name] = drop_image(value, hidden)
            else:
                raise ValueError(f"there is no condition {name!r}")
        return shown

    def combine(self, answers: Tensor, plan: BranchPlan) -> Tensor:
        """The weighted sum."""
        return guide(answers, plan)

    def noise(self, generators: Sequence[torch.Generator], size: tuple[int, int]) -> Tensor:
        """(B, C, h, w) for pictures of (width, height)."""
        width, height = (side // self.vae_factor for side in size)
        shape = (self.latent_channels, height, width)
        return draw_noise(shape, generators, self.device, self.dtype)

    def steps(self, number: int, size: tuple[int, int]) -> Steps:
        """A scheduler of its own, like the model's."""
        scheduler = type(self.scheduler).from_config(self.scheduler.config)
        scheduler.set_timesteps(number)
        return Steps(scheduler)

    def decode(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """The pixels of latents (B, C, h, w): (B, 3, height, width), about [-1, 1]."""
        return decode(self, latents)


def text_rows(states: Mapping[str, Tensor], texts: Sequence[str]) -> dict[str, Tensor]:
    """`text` and `null_text` of these texts, from the states (L, D) of each of them and of ""."""
    text = torch.stack([states[one] for one in texts])
    return {"text": text, "null_text": states[""].expand_as(text)}
