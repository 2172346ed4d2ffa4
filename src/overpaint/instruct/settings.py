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

    per_caption: int = Field(default=1, ge=1, description="Different edits of each caption.")
    kinds: dict[str, float] = Field(
        default_factory=lambda: dict.fromkeys(KINDS, 1.0),
        description="How often each kind of edit is asked for, as weights.",
    )
    temperature: float | None = Field(
        default=None,
        ge=0,
        le=5,
        description="Temperature of sampling, 0 for greedy. Left out, it is what a model was "
        "fine-tuned for, a server's own, or 2.",
    )
    top_p: float = Field(
        default=0.9, gt=0, le=1, description="Share of the probability that tokens are drawn from."
    )
    repetition_penalty: float = Field(
        default=0.98,
        gt=0,
        description="Penalty on words that stood before: above 1 they become rarer.",
    )
    max_new_tokens: int = Field(default=80, ge=8, description="Tokens of an answer at most.")
    max_instruction: int = Field(
        default=120, ge=8, le=200, description="Characters of an instruction at most."
    )
    max_caption: int = Field(
        default=300, ge=8, le=600, description="Characters of an edited caption at most."
    )
    structure: bool = Field(default=True, description="Allow only tokens that keep the format.")
    attempts: int = Field(
        default=3, ge=1, description="Number of tries at a row that was rejected."
    )
    repeats: int | None = Field(
        default=1,
        ge=1,
        description="Rows of a shard that may share an instruction; null lets all of them.",
    )
    need_reflection: bool = Field(
        default=True, description="Reject edits that the edited caption does not reflect."
    )
    captions_per_shard: int = Field(
        default=256, ge=1, description="Captions of a shard, which is what a kill may cost."
    )
    batch_size: int = Field(
        default=16,
        ge=1,
        json_schema_extra=FREE,
        description="Rows that are written at once; of an endpoint, requests at a time.",
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
        default="lora",
        description="What is trained: an adapter (lora, 2106.09685), or all weights (full).",
    )
    lora_rank: int = Field(default=16, ge=1, description="Rank of the adapter.")
    lora_alpha: int = Field(
        default=32, ge=1, description="Alpha of the adapter, by which it counts alpha / rank times."
    )
    lora_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout in front of the adapter."
    )
    epochs: float = Field(default=3.0, gt=0, description="Number of passes over the triplets.")
    max_steps: int | None = Field(
        default=None,
        ge=1,
        description="Number of optimizer steps, in place of epochs. Left out, epochs count.",
    )
    batch_size: int = Field(default=4, ge=1, description="Texts of a micro-batch.")
    gradient_accumulation_steps: int = Field(
        default=2, ge=1, description="Micro-batches of an optimizer step."
    )
    learning_rate: float = Field(
        default=2e-4, gt=0, description="Learning rate, once it is warmed up."
    )
    lr_schedule: Literal["constant", "linear", "cosine"] = Field(
        default="cosine",
        description="How the learning rate changes from the warm-up to the last step.",
    )
    warmup_steps: int = Field(
        default=10,
        ge=0,
        description="Steps in which the learning rate rises from nothing to its full height.",
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="Decoupled weight decay of the optimizer."
    )
    max_grad_norm: float = Field(
        default=1.0, gt=0, description="L2 norm to which the gradient is clipped."
    )
    max_length: int = Field(
        default=512, ge=16, description="Tokens of a text at most; longer ones are left out."
    )
    gradient_checkpointing: bool = Field(
        default=True, description="Save memory by computing activations a second time."
    )
    precision: Literal["auto", "no", "bf16"] = Field(
        default="auto",
        description="Number format of the computing. auto is bf16 on a GPU that has it, and "
        "float32 elsewhere.",
    )
    held_out: int = Field(
        default=64, ge=0, description="Triplets kept out of training, at most a fifth of all."
    )
    need_reflection: bool = Field(
        default=False, description="Leave out edits that the edited caption does not reflect."
    )
    checkpoint_every: int = Field(
        default=50,
        ge=1,
        json_schema_extra=FREE,
        description="Optimizer steps between two checkpoints.",
    )
    log_every: int = Field(
        default=5, ge=1, description="Optimizer steps between two lines of the log."
    )

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
        description="Text that the model reads and writes. delimited: caption, ##, instruction,"
        " %%, edited caption, END. kinds: the same with the kind of edit after ##, "
        "so that it can be asked for.",
    )
    seed: int = Field(
        default=42,
        ge=0,
        lt=2**63,
        description="Seed of the sampling. The same seed gives the same bytes.",
    )
    captions: str | None = Field(
        default=None,
        min_length=1,
        description="Captions to edit: a .txt (one a line), .jsonl, .csv or .parquet file, a "
        "folder or a dataset id.",
    )
    scenes: int | None = Field(
        default=None,
        ge=1,
        description="Number of scenes whose captions are edited, in place of captions.",
    )
    world: Literal["small", "full"] = Field(
        default="small", description="Objects of these scenes: small has 48 of them, full has 189."
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        description="The language model: nano (the writer of this package), a folder, a hub id,"
        " or gemma-3-270m; with an endpoint the name that the server knows.",
    )
    endpoint: str | None = Field(
        default=None,
        description="Address of an OpenAI-compatible server in place of a local model, such as "
        "http://localhost:8000/v1. The key is read from OPENAI_API_KEY.",
    )
    data: str | None = Field(
        default=None,
        min_length=1,
        description="Triplets to fine-tune the model on: a file, a folder or a dataset id.",
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
