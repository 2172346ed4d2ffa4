"""The settings of this stage: the recipe's `pairs:` block (nothing heavy is imported here).

The defaults are the mission's figures for ControlNet and the paper's (2211.09800, section 3.1) for
Prompt-to-Prompt; what a method has of its own is filled in where the recipe leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from overpaint.pairs.scores import SCORES, Thresholds

Method = Literal["controlnet", "prompt-to-prompt"]
SchedulerName = Literal["ddim", "pndm", "euler-ancestral"]

P2P_GUIDANCE, P2P_KEEP = (7.5, 15.0), 4
SD_CLIP = "openai/clip-vit-large-patch14"
# What is asked of nano's own CLIP where a recipe says nothing.
NANO_THRESHOLDS = {
    name: score.nano_threshold for name, score in SCORES.items() if score.nano_threshold is not None
}
NANO_GUIDANCE = 2.0  # above that its colours and lines become too strong


def _as_range(value: Any) -> Any:
    """A single number is a range of that number alone."""
    return [value, value] if isinstance(value, Real) else value


Range = Annotated[tuple[float, float], BeforeValidator(_as_range)]


class PairsSettings(BaseModel, extra="forbid", frozen=True):
    """The recipe's `pairs:` block: how triplets become pairs."""

    method: Method = Field(default="controlnet", description="How candidates are drawn.")
    model: str = Field(
        default="nano",
        min_length=1,
        description="What draws: nano, a diffusers folder or a hub id.",
    )
    controlnet: str | None = Field(
        default=None,
        description="The ControlNet: a folder or a hub id. Left out, it is the model's own.",
    )
    clip: str | None = Field(
        default=None,
        description="What scores: nano, a folder or a hub id. Left out, it is the model's own, "
        f"else {SD_CLIP}.",
    )
    seed: int = Field(
        default=42,
        ge=0,
        lt=2**63,
        description="Seed of every picture. The same seed gives the same bytes.",
    )
    resolution: int | None = Field(
        default=None,
        ge=8,
        multiple_of=8,
        description="Side of the pictures, in pixels. Left out, it is the model's own.",
    )
    scheduler: SchedulerName | None = Field(
        default=None,
        description="Scheduler of the source pictures. Left out, it is the model's own.",
    )
    candidate_scheduler: SchedulerName | None = Field(
        default=None,
        description="Scheduler of ControlNet's candidates. Left out, it is the source's.",
    )
    num_inference_steps: int = Field(
        default=40,
        ge=1,
        json_schema_extra={"option": "--steps"},
        description="Number of sampling steps.",
    )
    guidance_scale: Range = Field(
        default=(7.5, 7.5),
        description="How closely the caption is followed: a number, or a range that each "
        "candidate draws from. Left out, it is 2 with nano, else 7.5 with "
        "ControlNet and 7.5 to 15 with Prompt-to-Prompt.",
    )
    keep: int = Field(
        default=1,
        ge=1,
        description="Pairs kept of a triplet at most. Left out, it is 1 with ControlNet and 4 "
        "with Prompt-to-Prompt.",
    )
    thresholds: Thresholds = Field(
        default=Thresholds(),
        description="Cosines that a pair must reach. Those left out are nano's own with its "
        "CLIP, else the mission's.",
    )

    controlnet_conditioning_scales: tuple[Annotated[float, Field(ge=0, le=2)], ...] = Field(
        default=(0.15, 0.18, 0.2, 0.25, 0.3),
        min_length=1,
        description="How strongly the source's edges bind ControlNet's candidates, one "
        "candidate for each number.",
    )
    seeds_per_scale: int = Field(
        default=1, ge=1, description="Candidates for each of ControlNet's conditioning scales."
    )
    shared_noise: bool = Field(
        default=True,
        description="The first candidate of each ControlNet scale begins with the noise of its "
        "source.",
    )
    canny_low: int = Field(
        default=100,
        ge=0,
        le=2000,
        description="Lower threshold of the Canny edges for ControlNet: below it no edge goes on.",
    )
    canny_high: int = Field(
        default=200,
        ge=1,
        le=2000,
        description="Upper threshold of the Canny edges for ControlNet: above it an edge begins.",
    )

    candidates: int = Field(
        default=100, ge=1, description="Candidates of a triplet with Prompt-to-Prompt."
    )
    attention_fraction: Range = Field(
        default=(0.1, 0.9),
        description="Share of the steps in which Prompt-to-Prompt uses the source's "
        "self-attention: a number, or a range that each candidate draws from.",
    )
    cross_attention: Literal["none", "swap", "refine"] = Field(
        default="none",
        description="Whether Prompt-to-Prompt also uses the source's cross-attention, where the"
        " captions align by tokens (2208.01626): swap for captions of equal length,"
        " refine for added words.",
    )
    cross_attention_fraction: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Share of the steps in which Prompt-to-Prompt uses the source's "
        "cross-attention.",
    )
    reweight: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="Factor of Prompt-to-Prompt on the attention to words that the caption gains.",
    )

    rows_per_shard: int = Field(
        default=64, ge=1, description="Triplets of a shard, which is what a kill may cost."
    )
    batch_size: int = Field(
        default=16, ge=1, description="Pictures that go through the U-Net at once."
    )
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        default=None,
        description="Number format. Left out, it is float16 on a GPU and float32 elsewhere.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """What depends on the model, the method or the CLIP, where it is left out."""
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        if filled.get("model", "nano") == "nano":
            filled.setdefault("guidance_scale", NANO_GUIDANCE)
        if filled.get("method") == "prompt-to-prompt":
            filled.setdefault("guidance_scale", P2P_GUIDANCE)
            many = filled.get("candidates", P2P_KEEP)
            filled.setdefault(
                "keep", min(P2P_KEEP, many) if isinstance(many, Integral) else P2P_KEEP
            )
        asked = filled.get("thresholds", {})
        judge = filled.get("clip") or filled.get("model", "nano")
        if judge == "nano" and isinstance(asked, Mapping):
            filled["thresholds"] = {**NANO_THRESHOLDS, **asked}
        return filled

    @field_validator("guidance_scale")
    @classmethod
    def _guidance_in_order(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1] <= 100:
            raise ValueError("take a number, or [low, high] with 0 <= low <= high <= 100")
        return value

    @field_validator("attention_fraction")
    @classmethod
    def _fraction_in_order(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1] <= 1:
            raise ValueError("take a share, or [low, high] with 0 <= low <= high <= 1")
        return value

    @field_validator("controlnet_conditioning_scales")
    @classmethod
    def _scales_differ(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a scale stands twice: seeds_per_scale asks for more of each")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.canny_low >= self.canny_high:
            raise ValueError(
                f"canny_low ({self.canny_low}) must be below canny_high ({self.canny_high})"
            )
        if self.keep > self.per_row:
            raise ValueError(f"keep ({self.keep}) is above the {self.per_row} candidates of a row")
        return self

    @property
    def per_row(self) -> int:
        """Candidates that are made of a row."""
        if self.method == "controlnet":
            return len(self.controlnet_conditioning_scales) * self.seeds_per_scale
        return self.candidates

    @property
    def judge(self) -> str:
        """The CLIP that scores: the one asked for, the model's own, or Stable Diffusion's."""
        if self.clip is not None:
            return self.clip
        has_own = self.model == "nano" or Path(self.model, "clip").expanduser().is_dir()
        return self.model if has_own else SD_CLIP

    @property
    def controlnet_model(self) -> str | None:
        """The ControlNet: the one asked for, or the model's own; None for the other method."""
        if self.method != "controlnet":
            return None
        return self.controlnet or self.model

    @property
    def model_ids(self) -> str:
        """The column `model` of a pair: what drew it, and the ControlNet where that was named."""
        beside = f" + {self.controlnet}" if self.controlnet and self.controlnet_model else ""
        return f"{self.model}{beside}"
