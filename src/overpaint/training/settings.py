"""The settings of the training loop (light: torch is not imported here)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

LrSchedule = Literal["constant", "linear", "cosine"]
Precision = Literal["auto", "no", "bf16", "fp16"]


class LoopSettings(BaseModel, extra="forbid", frozen=True):
    """What `training.loop.fit` needs to know besides the model and its loss."""

    steps: int = Field(ge=1, description="optimizer steps")
    batch_size: int = Field(ge=1, description="samples of one micro-batch, over all processes")
    gradient_accumulation_steps: int = Field(1, ge=1, description="micro-batches a step")
    learning_rate: float = Field(gt=0)
    lr_schedule: LrSchedule = "constant"
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    max_grad_norm: float | None = Field(1.0, gt=0, description="none: no clipping")
    ema_decay: float | None = Field(None, ge=0, lt=1, description="none: no moving average")
    mixed_precision: Precision = Field("auto", description="auto: fp16 on a GPU, no elsewhere")
    channels_last: bool = Field(False, description="memory layout of convolution weights")
    compile: bool = Field(False, description="torch.compile the model's forward")
    seed: int = 42
    checkpoint_every: int = Field(500, ge=1, description="optimizer steps")
    keep_checkpoints: int = Field(2, ge=1)
    validate_every: int | None = Field(None, ge=1, description="none: only after the last step")
    log_every: int = Field(10, ge=1)

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_steps >= self.steps and self.warmup_steps > 0:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be below steps ({self.steps}): "
                "the learning rate would never be reached"
            )
        return self
