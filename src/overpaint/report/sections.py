"""What the audits find of a model: figures for `report.json`, pictures for the page (nothing heavy is imported)."""

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


class Shot(BaseModel):
    """A picture as a data: address, and the words below it."""

    picture: str
    caption: str


class Gallery(BaseModel):
    """Pictures in rows of equal length; rows and columns may have names."""

    title: str
    text: str
    columns: int
    shots: list[Shot]
    rows: list[str] = []
    heads: list[str] = []


class Findings(BaseModel):
    """What all audits found of one model; each fills its own fields."""

    curve: list[CurvePoint] = []
    drift: Drift | None = None
    bias: BiasAudit | None = None
    galleries: list[Gallery] = []
    changed_people: list[Shot] = Field(default=[], description="examples of the bias audit")

    def with_those_of(self, other: Findings) -> Findings:
        """Both together; where both have a field, it is `other`'s."""
        return self.model_copy(
            update={name: getattr(other, name) for name in other.model_fields_set}
        )
