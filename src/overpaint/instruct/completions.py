"""Triplets as batches of tokens, of which the completions alone have labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import Sampler

from overpaint.instruct.kinds import guess_kind
from overpaint.instruct.models import LanguageModel
from overpaint.instruct.settings import InstructSettings
from overpaint.instruct.text_format import TextFormat
from overpaint.rows import Triplet
from overpaint.seeds import derive_seed
from overpaint.tally import Tally

if TYPE_CHECKING:
    from datasets import Dataset

NO_LABEL = -100
TOO_LONG = "more tokens than max_length"


def encode(
    rows: Sequence[Triplet],
    language_model: LanguageModel,
    settings: InstructSettings,
    tally: Tally,
) -> Dataset:
    """Rows as tokens: `input_ids`, and `labels` that are `NO_LABEL` over the prompt.

    The prompt is tokenized by itself, as in generation, and the completion ends in the end token.
    """
    from datasets import Dataset

    text, tokenizer = TextFormat(settings.format), language_model.tokenizer
    encoded: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
    for row in rows:
        kind = row.kind or guess_kind(row.edit_prompt)
        prompt = tokenizer(text.prompt(row.original_prompt, kind))["input_ids"]
        completion = text.completion(row.edit_prompt, row.edited_prompt)
        answer = tokenizer(completion, add_special_tokens=False)["input_ids"]
        answer = [*answer, tokenizer.eos_token_id]
        if len(prompt) + len(answer) > settings.finetune.max_length:
            tally.reject(TOO_LONG, completion)
            continue
        encoded["input_ids"].append(prompt + answer)
        encoded["labels"].append([NO_LABEL] * len(prompt) + answer)
    return Dataset.from_dict(encoded)


@dataclass
class Collate:
    """Rows → a batch in which all completions begin in the same column."""

    pad: int

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
        """(batch, columns) tensors; positions count a row's own tokens."""
        prompts = [row["labels"].count(NO_LABEL) for row in rows]
        answers = [len(row["labels"]) - prompt for row, prompt in zip(rows, prompts, strict=True)]
        before, after = max(prompts), max(answers)
        ids = torch.full((len(rows), before + after), self.pad)
        labels = torch.full_like(ids, NO_LABEL)
        mask = torch.zeros_like(ids)
        for index, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
            columns = slice(before - prompt, before - prompt + len(row["labels"]))
            ids[index, columns] = torch.tensor(row["input_ids"])
            labels[index, columns] = torch.tensor(row["labels"])
            mask[index, columns] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "labels": labels,
        }


class LengthBuckets(Sampler[int]):
    """Every row once an epoch, rows of similar length together: a function of (seed, epoch).

    Rows are shuffled, sorted by length within buckets of `BATCHES_A_BUCKET` batches, and the
    batches of a bucket are shuffled again.
    """

    BATCHES_A_BUCKET = 16

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        seed = derive_seed(self.seed, "length buckets", self.epoch)
        generator = torch.Generator().manual_seed(seed)
        shuffled = torch.randperm(len(self), generator=generator).tolist()
        size = self.batch_size * self.BATCHES_A_BUCKET
        for start in range(0, len(shuffled), size):
            bucket = sorted(shuffled[start : start + size], key=lambda row: self.lengths[row])
            batches = [
                bucket[first : first + self.batch_size]
                for first in range(0, len(bucket), self.batch_size)
            ]
            last = batches.pop() if len(batches[-1]) < self.batch_size else []
            for index in torch.randperm(len(batches), generator=generator).tolist():
                yield from batches[index]
            yield from last
