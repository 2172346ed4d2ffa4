"""The settings of this stage: the recipe's `instruct:` block (nothing heavy is imported here).

The defaults are the mission's figures where it gives them: its text format, three epochs of
batches of 4 x 2 with texts of at most 512 tokens; sampling at temperature 2.0 and top-p 0.9 with a
repetition penalty of 0.98, at most 80 new tokens.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from overpaint.artifact import FREE
from overpaint.instruct.kinds import KINDS

LOCAL_TEMPERATURE = 2.0

FormatName = Literal["delimited", "kinds"]


class GenerateSettings(BaseModel, extra="forbid", frozen=True):
    """`instruct.generate:` how captions become triplets."""

    per_caption: int = Field(default=1, ge=1, description="edits of each caption")
    kinds: dict[str, float] = Field(
        default_factory=lambda: dict.fromkeys(KINDS, 1.0),
        description="how often each kind of edit is asked for, as weights",
    )
    temperature: float | None = Field(
        default=None,
        ge=0,
        le=5,
        description="0: greedy; none: what a model was fine-tuned for, a server's own, or "
        f"{LOCAL_TEMPERATURE}",
    )
    top_p: float = Field(
        default=0.9, gt=0, le=1, description="share of the probability that is drawn from"
    )
    repetition_penalty: float = Field(
        default=0.98, gt=0, description="above 1: words that stood before become rarer"
    )
    max_new_tokens: int = Field(default=80, ge=8, description="of an answer")
    max_instruction: int = Field(default=120, ge=8, le=200, description="characters")
    max_caption: int = Field(default=300, ge=8, le=600, description="characters, when edited")
    structure: bool = Field(default=True, description="allow only tokens that keep the format")
    attempts: int = Field(default=3, ge=1, description="tries at a row that was rejected")
    repeats: int | None = Field(
        default=1, ge=1, description="rows of a shard that may share an instruction; none: all"
    )
    need_reflection: bool = Field(
        default=True, description="reject edits that the edited caption does not reflect"
    )
    captions_per_shard: int = Field(default=256, ge=1, description="what a kill may cost")
    batch_size: int = Field(
        default=16, ge=1, json_schema_extra=FREE, description="rows at once (requests: at a time)"
    )

    @field_validator("kinds")
    @classmethod
    def _known_kinds(cls, kinds: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown:
            raise ValueError(f"there is no kind {unknown[0]}: take some of {', '.join(KINDS)}")
        if min(kinds.values(), default=0) < 0 or sum(kinds.values()) <= 0:
            raise ValueError("weights must not be negative, and one must be above 0")
        return kinds


class FinetuneSettings(BaseModel, extra="forbid", frozen=True):
    """`instruct.finetune:` how a language model learns the format."""

    method: Literal["lora", "full"] = Field(
        default="lora", description="train an adapter (2106.09685), or all weights"
    )
    lora_rank: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    epochs: float = Field(default=3.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1, description="optimizer steps, above epochs")
    batch_size: int = Field(default=4, ge=1)
    gradient_accumulation_steps: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0)
    lr_schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup_steps: int = Field(default=10, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_length: int = Field(default=512, ge=16, description="tokens of a text; longer are left out")
    gradient_checkpointing: bool = True
    precision: Literal["auto", "no", "bf16"] = Field(
        default="auto", description="auto: bf16 on a GPU that has it, no elsewhere"
    )
    held_out: int = Field(default=64, ge=0, description="rows kept out, at most a fifth")
    need_reflection: bool = Field(
        default=False, description="leave out edits that the edited caption does not reflect"
    )
    checkpoint_every: int = Field(
        default=50, ge=1, json_schema_extra=FREE, description="optimizer steps"
    )
    log_every: int = Field(default=5, ge=1, description="optimizer steps")

    @model_validator(mode="after")
    def _log_at_checkpoints(self) -> Self:
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"checkpoint_every ({self.checkpoint_every}) must be a multiple of log_every "
                f"({self.log_every}): a resumed run would log another mean than an unbroken one"
            )
        return self


class InstructSettings(BaseModel, extra="forbid", frozen=True):
    """The recipe's `instruct:` block."""

    format: FormatName = Field(
        default="delimited",
        description="delimited: caption, ##, instruction, %%, edited caption, END; kinds: the same "
        "with the kind of edit after ##, so that it can be asked for",
    )
    seed: int = Field(default=42, ge=0, lt=2**63)
    captions: str | None = Field(
        default=None,
        min_length=1,
        description="a .txt (one a line), .jsonl, .csv or .parquet file, a folder, a dataset id",
    )
    scenes: int | None = Field(default=None, ge=1, description="or captions of so many scenes")
    world: Literal["small", "full"] = Field(default="small", description="of these scenes")
    model: str | None = Field(
        default=None,
        min_length=1,
        description="the language model: a folder, a hub id, or one that comes with a package; "
        "with endpoint the name that the server knows",
    )
    endpoint: str | None = Field(default=None, description="address of an OpenAI-compatible server")
    data: str | None = Field(
        default=None,
        min_length=1,
        description="triplets to fine-tune the model on first: a file, a folder, a dataset id",
    )
    finetune: FinetuneSettings = FinetuneSettings()
    generate: GenerateSettings = GenerateSettings()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.captions is not None and self.scenes is not None:
            raise ValueError("captions and scenes cannot go together: take one of them")
        if self.endpoint is not None and self.data is not None:
            raise ValueError(
                "data fine-tunes a model of this machine, and endpoint asks that of a server: "
                "take one of them"
            )
        return self

    @model_validator(mode="after")
    def _room_for_a_text(self) -> Self:
        if self.generate.max_new_tokens > self.finetune.max_length:
            raise ValueError(
                f"generate.max_new_tokens ({self.generate.max_new_tokens}) is above "
                f"finetune.max_length ({self.finetune.max_length}): no text that long is learnt"
            )
        return self
