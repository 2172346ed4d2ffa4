"""nano's tokenizer: a small byte-level BPE in CLIP's layout, learnt from captions and edits."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import CLIPTokenizer

from overpaint.files import dir_aside
from overpaint.scenes.catalogue import COLOURS, catalogue
from overpaint.scenes.edits import kinds_of
from overpaint.scenes.examples import sample_caption, sample_example
from overpaint.scenes.layout import Version
from overpaint.scenes.phrasings import phrasings

MAX_TOKENS = 32  # the longest of 300 instructions that say two things in one has 31
START, END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(
    out: Path, vocab_size: int = 1400, examples: int = 3000, version: Version = 1
) -> Path:
    """Learn the merges and write `out/tokenizer`, which `CLIPTokenizer` loads."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(_corpus(examples, version), trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    words += [left + right for left, right in merges] + [START, END]
    vocab = {word: index for index, word in enumerate(dict.fromkeys(words))}
    with dir_aside(out / "tokenizer") as aside:
        CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS).save_pretrained(
            aside
        )
        # transformers 5 writes tokenizer.json alone; older readers take CLIP's own two files.
        (aside / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
        (aside / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out / "tokenizer"


def _corpus(examples: int, version: Version) -> list[str]:
    """Words of the whole catalogue and of every phrasing, held-out ones too: words are no secret."""
    every = [(kind, held_out) for kind in kinds_of(version) for held_out in (False, True)]
    texts = [text for kind in every for text in phrasings(*kind, version)] * 20
    for thing in catalogue("full"):
        texts += [thing.name, thing.plural, *thing.synonyms] * 10
    texts += list(COLOURS) * 20
    for seed in range(examples):
        texts.append(sample_caption(seed, "full", version=version)[1])
        texts.append(sample_example(seed, world="full", version=version).edit_prompt)
    return texts
