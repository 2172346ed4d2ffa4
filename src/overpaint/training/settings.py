"""The settings of the training loop (light: torch is not imported here)."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from overpaint.artifact import FREE, LAST
from overpaint.sampler import SamplerSettings

LrSchedule = Literal["constant", "linear", "cosine"]
Precision = Literal["auto", "no", "bf16", "fp16"]


class LoopSettings(BaseModel, extra="forbid", frozen=True):
    """What `training.loop.fit` needs to know besides the model and its loss."""

    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(ge=1, description="samples of one micro-batch, over all processes")
    gradient_accumulation_steps: int = Field(default=1, ge=1, description="micro-batches a step")
    learning_rate: float = Field(gt=0)
    lr_schedule: LrSchedule = "constant"
    warmup_steps: int = Field(
        default=0, ge=0, description="of the learning rate, from nothing to its full height"
    )
    optimizer: Literal["adamw", "muon"] = Field(
        default="adamw", description="muon: orthogonalised steps for the weights of hidden layers"
    )
    weight_decay: float = Field(default=0.01, ge=0)
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    max_grad_norm: float | None = Field(default=1.0, gt=0, description="none: no clipping")
    ema_decay: float | None = Field(default=None, ge=0, lt=1, description="none: no moving average")
    mixed_precision: Precision = Field(
        default="auto", description="auto: fp16 on a GPU, no elsewhere"
    )
    channels_last: bool = Field(default=False, description="memory layout of convolution weights")
    compile: bool = Field(default=False, description="torch.compile the model's forward")
    seed: int = 42
    checkpoint_every: int = Field(
        default=500, ge=1, json_schema_extra=FREE, description="optimizer steps"
    )
    keep_checkpoints: int = Field(
        default=2, ge=1, json_schema_extra=FREE, description="the newest so many"
    )
    validate_every: int | None = Field(
        default=None, ge=1, json_schema_extra=FREE, description="none: only after the last step"
    )
    log_every: int = Field(default=10, ge=1, description="optimizer steps")

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_steps >= self.steps and self.warmup_steps > 0:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be below steps ({self.steps}): "
                "the learning rate would never be reached"
            )
        return self


class TrainSettings(LoopSettings, frozen=True):
    """The recipe's `train:` block: how the editing U-Net is trained.

    The defaults are the mission's: 300 steps of 32 x 4 pictures of 256 px, learning rate 5e-5.
    """

    model: str | None = Field(
        default=None,
        min_length=1,
        json_schema_extra=FREE,  # a run knows its base by its weights
        description="the base: a diffusers folder, a .safetensors file, a hub id, nano (its "
        "editor), nano-text-to-image (what that was trained from)",
    )
    steps: int = Field(default=300, ge=1, description="optimizer steps")
    batch_size: int = Field(
        default=32, ge=1, description="samples of one micro-batch, over all processes"
    )
    gradient_accumulation_steps: int = Field(default=4, ge=1, description="micro-batches a step")
    learning_rate: float = Field(default=5e-5, gt=0)
    gradient_checkpointing: bool = Field(default=True, description="less memory for more computing")

    resolution: int = Field(default=256, ge=8, description="side of the square pictures, pixels")
    random_flip: bool = Field(
        default=True, description="mirror both pictures, each sample for itself"
    )
    random_crop: bool = Field(
        default=False, description="cut a random square instead of the middle one"
    )
    resize_up_to: int | None = Field(
        default=None,
        description="with random_crop: the shorter side is drawn from resolution to this",
    )
    conditioning_dropout: float = Field(default=0.05, ge=0, le=1 / 3, description="p of each case")

    precompute: bool = Field(default=True, description="encode all pictures once, before training")
    cache_dtype: Literal["float16", "float32"] = Field(
        default="float16", description="of the encoded pictures"
    )
    target_latents: Literal["sample", "mode"] = Field(
        default="sample", description="of the autoencoder's posterior for the edited picture"
    )
    encode_batch_size: int = Field(default=16, ge=1, description="pictures encoded at once")

    unet: dict[str, Any] | None = Field(
        default=None,
        description="a UNet2DConditionModel's config: train from scratch, not from the base",
    )
    validation_pairs: int = Field(
        default=4, ge=0, description="kept out of training, at most a tenth"
    )
    num_inference_steps: int = Field(
        default=50, ge=1, json_schema_extra=LAST, description="of the validation sheets,"
    )
    guidance_scale: float = Field(
        default=3.0, json_schema_extra=LAST, description="and the defaults that the model"
    )
    image_guidance_scale: float = Field(
        default=2.0, json_schema_extra=LAST, description="is stored with"
    )
    save_dtype: Literal["float16", "float32"] = Field(
        default="float16", json_schema_extra=LAST, description="of the final model"
    )

    @property
    def sampler(self) -> SamplerSettings:
        """How the validation sheets are sampled, and what the model is stored with."""
        names = SamplerSettings.model_fields.keys() & type(self).model_fields.keys()
        own = {name: getattr(self, name) for name in names if name != "resolution"}
        return SamplerSettings(**own)

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.random_crop and self.precompute:
            raise ValueError(
                "random_crop cuts another window each time, which latents that are computed "
                "once cannot follow: set precompute: false, or random_crop: false"
            )
        if self.resize_up_to is not None and not self.random_crop:
            raise ValueError("resize_up_to is read with random_crop: true only")
        if self.resize_up_to is not None and self.resize_up_to < self.resolution:
            raise ValueError("resize_up_to must be at least resolution")
        return self
