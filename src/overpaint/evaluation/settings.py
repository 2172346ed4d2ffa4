"""The settings of this stage: the recipe's `evaluate:` block (nothing heavy is imported here)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

IMAGE_SCALES = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)  # those of the paper's Figure 8
SCENES = 600  # where neither scenes nor pairs are asked for

PUBLIC_CLIP = "openai/clip-vit-large-patch14"
PUBLIC_DINO = "facebook/dino-vits16"
NONE = "none"

PresetName = Literal["magicbrush-single", "magicbrush-multi", "emu-edit"]
"""Published protocols, see `presets`."""


class EvaluateSettings(BaseModel, extra="forbid", frozen=True):
    """The recipe's `evaluate:` block: on what, how and by whom models are measured."""

    against: tuple[str, ...] = Field(
        default=(), description="models to compare with: nano, folders, files, hub ids"
    )
    pairs: str | None = Field(
        default=None, min_length=1, description="a folder of pairs, of MagicBrush or of Emu Edit"
    )
    preset: PresetName | None = Field(
        default=None, description="a published protocol for `pairs`: its rows, captions and judges"
    )
    limit: int | None = Field(default=None, ge=1, description="its first so many")
    scenes: int | None = Field(
        default=None, ge=1, description=f"scenes with exact answers; none: {SCENES}, without pairs"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="names the scenes and the noise")
    split: Literal["heldout", "train", "novel"] = Field(
        default="heldout",
        description="of the scenes: new compositions and phrasings, seen ones, or novel objects",
    )
    world: Literal["small", "full"] = Field(default="small", description="objects of the scenes")
    size: int = Field(default=64, ge=8, le=4096, description="side of scenes in pixels")

    num_inference_steps: int | None = Field(
        default=None,
        ge=1,
        json_schema_extra={"option": "--steps"},
        description="none: the model's",
    )
    guidance_scale: float | None = Field(
        default=None, description="s_T: how closely the instruction is followed"
    )
    image_guidance_scale: float | None = Field(
        default=None, description="s_I: how closely the picture is kept"
    )
    resolution: int | None = Field(default=None, ge=8, description="longer side, pixels")

    clip: str | None = Field(
        default=None,
        min_length=1,
        description="the CLIP that judges: nano, a folder, a hub id, none (the word); left out: "
        f"the preset's, nano's on scenes, {PUBLIC_CLIP} elsewhere",
    )
    dino: str | None = Field(
        default=None,
        min_length=1,
        description="the DINO that judges: a folder, a hub id, none (the word); left out: the "
        f"preset's, none on scenes, {PUBLIC_DINO} elsewhere",
    )

    curve: bool = Field(default=False, description="trade-off over image guidance scales")
    curve_cases: int = Field(default=104, ge=2, description="the first so many cases")
    curve_image_scales: tuple[float, ...] = Field(
        default=IMAGE_SCALES, min_length=1, description="s_I along the curve"
    )
    curve_text_scales: tuple[float, ...] = Field(default=(), description="empty: the model's")
    galleries: bool = Field(
        default=False, description="different edits, noise and scales; edits in turn"
    )
    drift_scenes: int = Field(default=24, ge=1, description="scenes edited in turn")
    picture: str | None = Field(
        default=None, min_length=1, description="of the galleries; none: the first case's"
    )
    instructions: tuple[str, ...] = Field(
        default=(),
        json_schema_extra={"option": "--instruction"},
        description="of the galleries",
    )
    bias: bool = Field(default=False, description="audit of attributes that nobody named")
    bias_folder: str | None = Field(
        default=None, min_length=1, description="photographs for the audit, instead of drawings"
    )

    batch_size: int | None = Field(default=None, ge=1, description="pictures at once")
    device: str | None = Field(default=None, description="cpu, cuda, cuda:1, mps")
    dtype: str | None = Field(default=None, description="float32, float16, bfloat16")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.pairs is not None and self.scenes is not None:
            raise ValueError("pairs and scenes cannot go together: take one of them")
        if self.limit is not None and self.pairs is None:
            raise ValueError("limit belongs to pairs")
        if self.preset is not None and self.pairs is None:
            raise ValueError("preset belongs to pairs: name the folder of its test set")
        return self
