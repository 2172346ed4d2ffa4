"""What the numbers that a network gives depend on: its weights, its words, where it computes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from torch import nn

from overpaint.sealed import seal


def computed_in(network: Any) -> dict[str, Any]:
    """How a network computes, as far as its numbers depend on it."""
    device = network.device.type
    threads = torch.get_num_threads() if device == "cpu" else None
    return {"computed in": str(network.dtype), "device": device, "threads": threads}


def hash_weights(model: nn.Module) -> str:
    """A hash of a module's names, shapes and weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:24]


def hash_tokenizer(tokenizer: Any) -> str:
    """A hash of everything that decides about a fast tokenizer's numbers but padding and length."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    return seal({key: value for key, value in state.items() if key not in _PER_CALL})[:24]


_PER_CALL = ("padding", "truncation")  # what a tokenizer's last call left there
