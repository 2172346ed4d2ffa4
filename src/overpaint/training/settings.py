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

    steps: int = Field(ge=1, description="Number of optimizer steps.")
    batch_size: int = Field(ge=1, description="Samples of one micro-batch, over all processes.")
    gradient_accumulation_steps: int = Field(
        default=1, ge=1, description="Micro-batches of an optimizer step."
    )
    learning_rate: float = Field(gt=0, description="Learning rate, once it is warmed up.")
    lr_schedule: LrSchedule = Field(
        default="constant",
        description="How the learning rate changes from the warm-up to the last step.",
    )
    warmup_steps: int = Field(
        default=0,
        ge=0,
        description="Steps in which the learning rate rises from nothing to its full height.",
    )
    optimizer: Literal["adamw", "muon"] = Field(
        default="adamw",
        description="The optimizer. muon takes orthogonalised steps for the weights of hidden "
        "layers.",
    )
    weight_decay: float = Field(
        default=0.01, ge=0, description="Decoupled weight decay of the optimizer."
    )
    adam_beta1: float = Field(
        default=0.9, ge=0, lt=1, description="Decay of AdamW's mean of the gradients."
    )
    adam_beta2: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of AdamW's mean of the squared gradients."
    )
    max_grad_norm: float | None = Field(
        default=1.0,
        gt=0,
        description="L2 norm to which the gradient is clipped; null does not clip.",
    )
    ema_decay: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Decay of the moving average of the weights. Left out, there is none.",
    )
    mixed_precision: Precision = Field(
        default="auto",
        description="Number format of the computing. auto is fp16 on a GPU and float32 elsewhere.",
    )
    channels_last: bool = Field(
        default=False, description="Lay the weights of convolutions out with channels last."
    )
    compile: bool = Field(
        default=False, description="Compile the model's forward pass by torch.compile."
    )
    seed: int = Field(
        default=42, description="Seed of the order of samples, of noise and of times."
    )
    checkpoint_every: int = Field(
        default=500,
        ge=1,
        json_schema_extra=FREE,
        description="Optimizer steps between two checkpoints.",
    )
    keep_checkpoints: int = Field(
        default=2,
        ge=1,
        json_schema_extra=FREE,
        description="Number of checkpoints that are kept, the newest ones.",
    )
    validate_every: int | None = Field(
        default=None,
        ge=1,
        json_schema_extra=FREE,
        description="Optimizer steps between two validations. Left out, only the last step is "
        "validated.",
    )
    log_every: int = Field(
        default=10, ge=1, description="Optimizer steps between two lines of the log."
    )

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
        description="The base to train from: a diffusers folder, a .safetensors file, a hub id,"
        " nano (its editor) or nano-text-to-image (what that was trained from). For"
        " a network from scratch (unet in the recipe) it is a folder of the other "
        "parts.",
    )
    steps: int = Field(default=300, ge=1, description="Number of optimizer steps.")
    batch_size: int = Field(
        default=32, ge=1, description="Samples of one micro-batch, over all processes."
    )
    gradient_accumulation_steps: int = Field(
        default=4, ge=1, description="Micro-batches of an optimizer step."
    )
    learning_rate: float = Field(
        default=5e-5, gt=0, description="Learning rate, once it is warmed up."
    )
    gradient_checkpointing: bool = Field(
        default=True, description="Save memory by computing activations a second time."
    )

    resolution: int = Field(
        default=256, ge=8, description="Side of the square pictures, in pixels."
    )
    random_flip: bool = Field(
        default=True, description="Mirror both pictures of a pair, each sample for itself."
    )
    random_crop: bool = Field(
        default=False,
        description="Cut a random square out of the pictures instead of the middle one.",
    )
    resize_up_to: int | None = Field(
        default=None,
        description="Upper end of the range, from resolution on, that the shorter side is drawn"
        " from with random_crop. Left out, it is resolution.",
    )
    conditioning_dropout: float = Field(
        default=0.05,
        ge=0,
        le=1 / 3,
        description="Probability of each case of the conditioning dropout: no text, no picture,"
        " neither.",
    )

    precompute: bool = Field(default=True, description="Encode all pictures once, before training.")
    cache_dtype: Literal["float16", "float32"] = Field(
        default="float16", description="Number format of the encoded pictures."
    )
    target_latents: Literal["sample", "mode"] = Field(
        default="sample",
        description="What is taken of the autoencoder's posterior for the edited picture.",
    )
    encode_batch_size: int = Field(
        default=16, ge=1, description="Pictures that are encoded at once."
    )

    unet: dict[str, Any] | None = Field(
        default=None,
        description="Configuration of a UNet2DConditionModel, to train it from scratch and not "
        "from the base.",
    )
    validation_pairs: int = Field(
        default=4,
        ge=0,
        description="Pairs kept out of training for validation, at most a tenth of all.",
    )
    num_inference_steps: int = Field(
        default=50,
        ge=1,
        json_schema_extra=LAST,
        description="Sampling steps of the validation sheets; the model is stored with them.",
    )
    guidance_scale: float = Field(
        default=3.0,
        ge=0,
        json_schema_extra=LAST,
        description="Text guidance scale (s_T) of the validation sheets; the model is stored "
        "with it.",
    )
    image_guidance_scale: float = Field(
        default=2.0,
        ge=0,
        json_schema_extra=LAST,
        description="Image guidance scale (s_I) of the validation sheets; the model is stored "
        "with it.",
    )
    save_dtype: Literal["float16", "float32"] = Field(
        default="float16",
        json_schema_extra=LAST,
        description="Number format in which the model is stored.",
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
