"""The settings of this stage: the recipe's `evaluate:` block (nothing heavy is imported here)."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from overpaint.audits.settings import BiasSettings, CurveSettings, GallerySettings
from overpaint.sampler import SamplerSettings

SCENES = 600  # where neither scenes nor pairs are asked for

PUBLIC_CLIP = "openai/clip-vit-large-patch14"
PUBLIC_DINO = "facebook/dino-vits16"
NONE = "none"


class CaseSettings(BaseModel, frozen=True):
    """On what models are evaluated."""

    against: tuple[str, ...] = Field(
        default=(),
        description="Models to compare with, each nano, a folder, a file or a hub id; they are "
        "evaluated first.",
    )
    pairs: str | None = Field(
        default=None,
        min_length=1,
        description="Folder of pairs, or of a published test set such as MagicBrush or Emu Edit.",
    )
    preset: str | None = Field(
        default=None,
        json_schema_extra={"values": "overpaint.evaluation.published:presets"},
        description="Published protocol for the pairs, such as magicbrush-multi: its rows, "
        "captions and judges.",
    )
    limit: int | None = Field(
        default=None, ge=1, description="Number of pairs to take, the first ones. Left out, all."
    )
    scenes: int | None = Field(
        default=None,
        ge=1,
        description="Number of drawn scenes, whose right answers are known pixel by pixel. "
        f"Left out, {SCENES} where no pairs are given.",
    )
    split: Literal["heldout", "train", "novel"] = Field(
        default="heldout",
        description="Which scenes: new compositions and phrasings (heldout), those of training "
        "(train), or objects that no training edits (novel).",
    )
    world: Literal["small", "full"] = Field(
        default="small", description="Objects of the scenes: 48 of them (small) or 189 (full)."
    )
    size: int = Field(default=64, ge=8, le=4096, description="Side of the scenes in pixels.")


class SamplingSettings(SamplerSettings, frozen=True):
    """How cases are edited: the sampler's settings, the noise and the size of batches."""

    seed: int = Field(
        default=0, ge=0, lt=2**63, description="Seed of the scenes and of the cases' noise."
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Number of pictures edited at once. Left out, it depends on their size.",
    )

    def sampling(self) -> dict[str, Any]:
        """What decides how a picture is edited: the sampler's settings and the seed."""
        return self.model_dump(include={*SamplerSettings.model_fields, "seed"})

    def for_editor(self) -> dict[str, Any]:
        """The keyword arguments of `Editor.edit_pairs` but the seed, which each case has."""
        return self.model_dump(include={*SamplerSettings.model_fields, "batch_size"})


class JudgeSettings(BaseModel, frozen=True):
    """Who judges."""

    clip: str | None = Field(
        default=None,
        min_length=1,
        description="The CLIP that judges: nano, a folder, a hub id, or the word none. Left out, it "
        f"is the preset's, nano's on scenes, and {PUBLIC_CLIP} elsewhere.",
    )
    dino: str | None = Field(
        default=None,
        min_length=1,
        description="The DINO that judges: a folder, a hub id, or the word none. Left out, it is "
        f"the preset's, none on scenes, and {PUBLIC_DINO} elsewhere.",
    )


class EvaluateSettings(
    BiasSettings,
    GallerySettings,
    CurveSettings,
    JudgeSettings,
    SamplingSettings,
    CaseSettings,
    extra="forbid",
    frozen=True,
):
    """The recipe's `evaluate:` block: on what, how and by whom models are measured."""

    device: str | None = Field(
        default=None,
        description="Device that computes: cpu, cuda, cuda:1 or mps. Left out, a GPU where there is one.",
    )
    dtype: str | None = Field(
        default=None,
        description="Number format of the editors: float32, float16 or bfloat16. Left out, it "
        "suits the device.",
    )

    @field_validator("preset")
    @classmethod
    def _preset_is_known(cls, name: str | None) -> str | None:
        if name is not None:
            from overpaint.evaluation.published import presets

            if name not in presets():
                raise ValueError(f"there is no such preset; there are {', '.join(presets())}")
        return name

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.pairs is not None and self.scenes is not None:
            raise ValueError("pairs and scenes cannot go together: take one of them")
        if self.limit is not None and self.pairs is None:
            raise ValueError("limit belongs to pairs")
        if self.preset is not None and self.pairs is None:
            raise ValueError("preset belongs to pairs: name the folder of its test set")
        return self
