"""nano's writer: what ships is the adapter that was trained, small, and fits the base it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("trl", reason="needs the extra llm")
pytest.importorskip("peft", reason="needs the extra llm")

import peft

from nano.writer import ship_writer
from overpaint.errors import UserError
from overpaint.instruct.finetuning import finetune
from overpaint.instruct.models import (
    NANO,
    OFFLINE,
    LanguageModel,
    find_language_model,
    load_language_model,
    read_note,
)
from overpaint.instruct.settings import FinetuneSettings, InstructSettings
from overpaint.recipe import read_block
from tiny_language import CAPTIONS, build_tiny_language_model

WEIGHTS = "adapter_model.safetensors"
MOST_BYTES = 2_500_000  # they stay in git's history for ever

# Gemma 3 270M, as its config.json says.
GEMMA = {
    **{"vocab_size": 262144, "hidden_size": 640, "intermediate_size": 2048, "head_dim": 256},
    **{"num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1},
}


def load(folder: Path) -> LanguageModel:
    return load_language_model(folder, torch.device("cpu"), torch.float32)


def test_the_shipped_adapter_is_that_of_the_recipe_and_fits_gemma(root: Path) -> None:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    assert find_language_model("nano") == NANO
    recipe = read_block(root / "recipes" / "nano-instruct.yaml", "instruct", InstructSettings)
    wanted_note = {"format": recipe.format, "base": OFFLINE}
    assert read_note(NANO) == {**wanted_note, "temperature": recipe.generate.temperature}
    config = peft.LoraConfig.from_pretrained(NANO)
    values = recipe.finetune
    assert (config.r, config.lora_alpha) == (values.lora_rank, values.lora_alpha)
    with torch.device("meta"):
        gemma = peft.get_peft_model(Gemma3ForCausalLM(Gemma3TextConfig(**GEMMA)), config)
    wanted = peft.get_peft_model_state_dict(gemma, save_embedding_layers=False)
    weights = load_file(NANO / WEIGHTS)
    assert {n: w.shape for n, w in weights.items()} == {n: w.shape for n, w in wanted.items()}
    assert all(w.dtype == torch.float16 and w.isfinite().all() for w in weights.values())
    assert all(w.abs().max() > 0 for n, w in weights.items() if "lora_B" in n)  # it was trained
    assert sum(path.stat().st_size for path in NANO.iterdir()) < MOST_BYTES


def test_the_shipped_adapter_has_a_card_with_gemmas_terms() -> None:
    card = (NANO / "README.md").read_text(encoding="utf-8")
    assert "license: gemma" in card
    assert "ai.google.dev/gemma/terms" in card
    assert json.loads((NANO / "adapter_config.json").read_text())["base_model_name_or_path"] in card


def test_shipping_halves_an_adapter_and_leaves_the_tokenizer_to_its_base(tmp_path: Path) -> None:
    base = build_tiny_language_model(tmp_path / "base")
    rows = [
        {"original_prompt": text, "edit_prompt": "add a hat", "edited_prompt": f"{text} with a hat"}
        for text in CAPTIONS
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = InstructSettings(
        finetune=FinetuneSettings(max_steps=2, learning_rate=0.01, held_out=0)
    )
    finetune(tmp_path / "t.jsonl", base, tmp_path / "adapter", settings, "cpu")
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("by hand")
    assert ship_writer(tmp_path / "adapter", out) == out
    assert (out / "README.md").read_text() == "by hand"
    assert sorted(path.name for path in out.iterdir()) == [
        *("README.md", "adapter_config.json", WEIGHTS, "overpaint.json")
    ]
    assert {weight.dtype for weight in load_file(out / WEIGHTS).values()} == {torch.float16}
    trained, shipped, untrained = load(tmp_path / "adapter"), load(out), load(base)
    ids = shipped.tokenizer("a dog on the beach", return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = [each.model(ids).logits for each in (trained, shipped, untrained)]
    rounding = (logits[0] - logits[1]).abs().max()
    assert rounding < 0.01 * (logits[0] - logits[2]).abs().max()
    with pytest.raises(UserError, match="finish the writer's fine-tuning"):
        ship_writer(base, tmp_path / "other")
