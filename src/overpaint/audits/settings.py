"""The settings of the audits, parts of the recipe's `evaluate:` block (nothing heavy is imported here)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

Scale = Annotated[float, Field(ge=0)]

IMAGE_SCALES = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)  # those of the paper's Figure 8


class CurveSettings(BaseModel, frozen=True):
    """The trade-off curve: the same cases edited at every pair of guidance scales."""

    curve: bool = Field(
        default=False,
        description="Plot the trade-off between editing and keeping over image guidance scales.",
    )
    curve_cases: int = Field(
        default=104, ge=2, description="Number of cases, the first ones, that the curve is made of."
    )
    curve_image_scales: tuple[Scale, ...] = Field(
        default=IMAGE_SCALES,
        min_length=1,
        description="Image guidance scales (s_I) along the curve.",
    )
    curve_text_scales: tuple[Scale, ...] = Field(
        default=(),
        description="Guidance scales (s_T), with a curve for each. Left out, it is the model's own.",
    )


class GallerySettings(BaseModel, frozen=True):
    """The galleries: pictures beside each other, and edits in turn."""

    galleries: bool = Field(
        default=False,
        description="Show one picture with different edits, noise and scales, and edits in turn.",
    )
    drift_scenes: int = Field(
        default=24, ge=1, description="Number of scenes that are edited eight times in turn."
    )
    picture: str | None = Field(
        default=None,
        min_length=1,
        description="Picture of the galleries. Left out, it is that of the first case.",
    )
    instructions: tuple[str, ...] = Field(
        default=(),
        json_schema_extra={"option": "--instruction"},
        description="Instruction of the galleries; may come again. Left out, that of the first case and "
        "some about the whole picture.",
    )


class BiasSettings(BaseModel, frozen=True):
    """The bias audit: what an edit changes about a person that nobody named."""

    bias: bool = Field(
        default=False,
        description="Count how often an edit changes a gender or a skin tone that nobody named.",
    )
    bias_folder: str | None = Field(
        default=None,
        min_length=1,
        description="Folder of photographs for the bias audit. Left out, it edits drawings of people.",
    )
