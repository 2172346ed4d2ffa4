"""The settings of a sampler, written once (nothing heavy is imported here).

The Editor, the families of editors, the command line, recipes, evaluation and the server all take
theirs from this model.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, Field


class SamplerSettings(BaseModel, extra="forbid", frozen=True):
    """How an edit is sampled; what is None is the model's own value."""

    num_inference_steps: int | None = Field(
        default=None,
        ge=1,
        json_schema_extra={"option": "--steps"},
        description="Number of sampling steps. Left out, it is the model's own.",
    )
    guidance_scale: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="How closely the instruction is followed (s_T of the paper). "
        "Left out, it is the model's own.",
    )
    image_guidance_scale: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="How closely the picture is kept (s_I of the paper). "
        "Left out, it is the model's own.",
    )
    resolution: int | None = Field(
        default=None,
        ge=8,
        description="Longer side, in pixels, at which the picture is edited. "
        "Left out, it is the size that the model was made for.",
    )

    def given(self) -> dict[str, Any]:
        """What is not left out, by name."""
        return self.model_dump(exclude_none=True)

    def over(self, defaults: SamplerSettings) -> Self:
        """These settings, with those of `defaults` where one is left out."""
        return self.model_copy(update={**defaults.given(), **self.given()})


PAPER = SamplerSettings(num_inference_steps=50, guidance_scale=7.5, image_guidance_scale=1.5)
"""What a model that says nothing of itself is edited with: the figures of arXiv:2211.09800."""
