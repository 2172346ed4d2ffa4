"""Put nano's writer of edits, a LoRA adapter, where the package carries it."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from overpaint.errors import UserError
from overpaint.files import dir_aside

_WEIGHTS = "adapter_model.safetensors"
_AS_THEY_ARE = ("adapter_config.json", "overpaint.json")


def ship_writer(adapter: Path, out: Path) -> Path:
    """Write `out`: the adapter in float16, without the tokenizer, which is that of its base.

    The model card (`README.md`) is written by hand and stays as it is.

    Raises:
        UserError: `adapter` is no adapter that `overpaint instruct finetune` wrote.
    """
    for name in (_WEIGHTS, *_AS_THEY_ARE):
        if not (adapter / name).is_file():
            raise UserError(f"there is no {adapter / name}: finish the writer's fine-tuning first.")
    weights = load_file(adapter / _WEIGHTS)
    card = out / "README.md"
    with dir_aside(out) as aside:
        halves = {name: weight.to(torch.float16) for name, weight in weights.items()}
        save_file(halves, aside / _WEIGHTS, metadata={"format": "pt"})
        for name in _AS_THEY_ARE:
            shutil.copy(adapter / name, aside / name)
        if card.is_file():
            shutil.copy(card, aside / "README.md")
    return out
