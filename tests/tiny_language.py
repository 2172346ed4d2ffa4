"""Causal language models of random weights, small enough to build in a test.

Stock classes and a real byte-level BPE tokenizer, so that transformers, llguidance and TRL treat
the folder as any other model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

TEXTS = [
    "a dog on the beach\n##\nmake the dog a cat\n%%\na cat on the beach\nEND",
    "a red car\n## attribute\nmake the car blue\n%%\na blue car\nEND",
    "a house in the forest\n## time\nmake it winter\n%%\na house in the snowy forest\nEND",
    "two people at a table\n## add\nadd a cake\n%%\ntwo people at a table with a cake\nEND",
]
CAPTIONS = [
    f"{a} {b}"
    for a in ("a dog", "a red car", "a house", "two people", "a cake on a table", "a black cat")
    for b in ("on the beach", "in the forest", "at night and in the rain", "by a lake")
]
VOCABULARY = 400


def build_tiny_tokenizer(directory: Path) -> Any:
    """Write a tokenizer trained on TEXTS and return it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = decoders.ByteLevel()
    learner.train_from_iterator(
        TEXTS + CAPTIONS,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<pad>", "<bos>", "<eos>"],
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=learner, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )
    tokenizer.save_pretrained(directory)
    return tokenizer


def build_tiny_language_model(directory: Path, *, family: str = "gemma3", seed: int = 0) -> Path:
    """Write a model of two layers and its tokenizer to `directory` (created) and return it.

    `family` is `gemma3` (sliding and full attention, shared embeddings) or `llama`.
    """
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tiny_tokenizer(directory)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "initializer_range": 0.15,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "gemma3":
            # A window shorter than the texts, so that the sliding layers' cache turns over.
            config = Gemma3TextConfig(
                **shape,
                sliding_window=24,
                layer_types=["sliding_attention", "full_attention"],
                query_pre_attn_scalar=16,
            )
            model: Any = Gemma3ForCausalLM(config)
        else:
            model = LlamaForCausalLM(LlamaConfig(**shape))
    model.eval().save_pretrained(directory)
    return directory
