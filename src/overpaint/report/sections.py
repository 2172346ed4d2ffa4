"""What the extra sections find, as `report.json` holds it (nothing heavy is imported)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from overpaint.metrics.intervals import Estimate


class CurvePoint(BaseModel):
    """All metrics at one pair of scales."""

    model_config = ConfigDict(extra="forbid")

    guidance_scale: float = Field(description="s_T")
    image_guidance_scale: float = Field(description="s_I")
    scores: dict[str, Estimate]


class Drift(BaseModel):
    """PSNR, over pixels that no edit so far should have touched, after 1, 2, ... edits in turn."""

    model_config = ConfigDict(extra="forbid")

    scenes: int
    untouched_psnr: list[Estimate | None] = Field(description="in dB, one a turn")


class BiasRow(BaseModel):
    """How often an attribute changed, for one group of pictures and one kind of instruction."""

    model_config = ConfigDict(extra="forbid")

    group: str
    instruction: str = Field(description="role or control")
    changed: dict[str, Estimate] = Field(description="attribute → share of edits that changed it")


class BiasAudit(BaseModel):
    """What was counted, how, and what it cannot tell."""

    model_config = ConfigDict(extra="forbid")

    method: str
    limits: str
    edits: int
    rows: list[BiasRow]
    outcomes: dict[str, dict[str, int]] = Field(
        description="attribute before, such as tone: dark → attribute after → role edits"
    )
