"""Fine-tuning: the loss is that of the completion, a stopped run goes on, what comes out loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

pytest.importorskip("trl", reason="needs the extra llm")
pytest.importorskip("peft", reason="needs the extra llm")

from overpaint.errors import UserError
from overpaint.instruct import finetuning
from overpaint.instruct.completions import NO_LABEL, TOO_LONG, Collate, LengthBuckets, encode
from overpaint.instruct.finetuning import finetune
from overpaint.instruct.models import LanguageModel, load_language_model
from overpaint.instruct.settings import (
    LOCAL_TEMPERATURE,
    FinetuneSettings,
    GenerateSettings,
    InstructSettings,
)
from overpaint.rows import Triplet
from overpaint.tally import Tally
from tiny_language import CAPTIONS

pytestmark = pytest.mark.slow

ROWS = [
    Triplet(
        original_prompt=caption,
        edit_prompt=f"add a {thing}",
        edited_prompt=f"{caption} with a {thing}",
        kind="add",
    )
    for caption, thing in zip(CAPTIONS, ["cat", "cake", "lake", "red house"] * 6, strict=True)
]


def settings(**changes: Any) -> InstructSettings:
    values: dict[str, Any] = {
        "max_steps": 6,
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
        "learning_rate": 5e-3,
        "warmup_steps": 0,
        "held_out": 4,
        "log_every": 2,
        "checkpoint_every": 2,
        "lora_rank": 4,
        "lora_dropout": 0.1,
        "gradient_checkpointing": False,
    }
    return InstructSettings(format="kinds", finetune={**values, **changes})


@pytest.fixture(scope="module")
def triplets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("triplets") / "t.jsonl"
    path.write_text("".join(json.dumps(row.to_row()) + "\n" for row in ROWS))
    return path


def load(folder: Path) -> LanguageModel:
    return load_language_model(folder, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("family", ["gemma", "llama"])
def test_the_loss_is_that_of_the_completions_alone(
    family: str, request: pytest.FixtureRequest
) -> None:
    """Against a row-by-row transcription without padding and with all logits."""
    model = load(request.getfixturevalue(family))
    data = encode(ROWS[:3] + ROWS[14:15], model, settings(), Tally())
    batch = Collate(model.tokenizer.pad_token_id)(list(data))
    total, count = torch.zeros(()), 0
    for row in data:
        ids, labels = torch.tensor(row["input_ids"]), torch.tensor(row["labels"])
        logits = model.model(ids[None]).logits[0]
        total += F.cross_entropy(logits[:-1], labels[1:], ignore_index=NO_LABEL, reduction="sum")
        count += int((labels != NO_LABEL).sum())
    seen: list[int] = []

    def spy(module: Any, inputs: Any, output: torch.Tensor) -> None:
        seen.append(output.shape[1])

    with model.model.lm_head.register_forward_hook(spy):
        trainer = object.__new__(finetuning.CompletionTrainer)
        loss = trainer.compute_loss(model.model, batch)
    assert torch.allclose(loss, total / count, atol=1e-5)
    completion = max(len(row["labels"]) - row["labels"].count(NO_LABEL) for row in data)
    assert seen == [completion + 1]  # and no logits over the prompts


def test_labels_are_the_completion_and_its_end(llama: Path) -> None:
    model = load(llama)
    (row,) = encode(ROWS[:1], model, settings(), Tally())
    labels = [label for label in row["labels"] if label != NO_LABEL]
    assert labels[-1] == model.tokenizer.eos_token_id
    text = model.tokenizer.decode(labels[:-1])
    assert text == "add a cat\n%%\na dog on the beach with a cat\nEND"
    prompt = row["input_ids"][: len(row["input_ids"]) - len(labels)]
    assert (
        model.tokenizer.decode(prompt, skip_special_tokens=True) == "a dog on the beach\n## add\n"
    )


def test_texts_that_are_too_long_are_left_out_and_counted(llama: Path) -> None:
    tally = Tally(seen=len(ROWS))
    values = InstructSettings(
        format="kinds", finetune={"max_length": 40}, generate={"max_new_tokens": 20}
    )
    data = encode(ROWS, load(llama), values, tally)
    assert all(len(row["input_ids"]) <= 40 for row in data)
    assert len(data) + tally.rejected[TOO_LONG] == len(ROWS)


def test_batches_hold_rows_of_similar_length_each_once_an_epoch() -> None:
    lengths = [(i * 37) % 101 for i in range(203)]
    order = LengthBuckets(lengths, batch_size=4, seed=3)
    first = list(order)
    assert sorted(first) == list(range(203))
    assert first == list(LengthBuckets(lengths, batch_size=4, seed=3))
    spread = [
        max(lengths[r] for r in first[i : i + 4]) - min(lengths[r] for r in first[i : i + 4])
        for i in range(0, 192, 4)
    ]
    assert sum(spread) / len(spread) < 12  # of 101; batches drawn at random have some 60
    order.set_epoch(1)
    assert list(order) != first


def test_a_stopped_run_ends_like_an_unbroken_one(
    llama: Path, triplets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finetune(triplets, llama, tmp_path / "whole", settings(), "cpu")
    assert whole["steps"] == 6
    assert whole["held_out_loss_after"] < whole["held_out_loss_before"]

    save = finetuning._Keeper.on_save

    def stop_at_second(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 4:  # written, and not yet marked as whole
            raise KeyboardInterrupt
        save(self, args, state, control, **kwargs)

    monkeypatch.setattr(finetuning._Keeper, "on_save", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        finetune(triplets, llama, tmp_path / "stopped", settings(), "cpu")
    monkeypatch.undo()
    assert (tmp_path / "stopped.training" / "checkpoint-4").is_dir()
    report = finetune(triplets, llama, tmp_path / "stopped", settings(), "cpu")
    assert report["held_out_loss_after"] == whole["held_out_loss_after"]
    name = "adapter_model.safetensors"
    assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    log = [json.loads(line) for line in (tmp_path / "stopped.training/log.jsonl").open()]
    steps = [line["step"] for line in log if "loss" in line]
    assert steps == sorted(set(steps)) == [2, 4, 6]
    assert log[0] == {"step": 0, "eval_loss": whole["held_out_loss_before"]}
    assert Image.open(tmp_path / "stopped.training" / "loss.png").size == (900, 480)
    # A finished run does nothing, and one of other settings is refused.
    assert finetune(triplets, llama, tmp_path / "whole", settings(), "cpu") == json.loads(
        (tmp_path / "whole.training" / "report.json").read_text()
    )
    with pytest.raises(UserError, match="learning_rate was"):
        finetune(triplets, llama, tmp_path / "whole", settings(learning_rate=1e-3), "cpu")

    config = json.loads((tmp_path / "whole" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(llama.resolve())
    adapted = load(tmp_path / "whole")
    assert (adapted.format, adapted.temperature) == ("kinds", LOCAL_TEMPERATURE)
    base = load(llama)
    ids = adapted.tokenizer("a dog", return_tensors="pt").input_ids
    assert not torch.allclose(adapted.model(ids).logits, base.model(ids).logits)


def test_full_fine_tuning_writes_a_whole_model(llama: Path, triplets: Path, tmp_path: Path) -> None:
    values = settings(method="full", max_steps=2, held_out=0, gradient_checkpointing=True)
    values = values.model_copy(update={"generate": GenerateSettings(temperature=0.7)})
    report = finetune(triplets, llama, tmp_path / "full", values, "cpu")
    assert report["held_out_loss_before"] is None
    assert (tmp_path / "full" / "model.safetensors").is_file()
    written = load(tmp_path / "full")
    assert (written.format, written.temperature) == ("kinds", 0.7)


def test_a_folder_that_holds_something_else_is_refused(
    llama: Path, triplets: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("x")
    with pytest.raises(UserError, match="exists already"):
        finetune(triplets, llama, tmp_path / "out", settings(), "cpu")


def test_checkpoints_between_two_lines_of_the_log_are_refused() -> None:
    with pytest.raises(ValueError, match="must be a multiple of log_every"):
        FinetuneSettings(checkpoint_every=12, log_every=5)
