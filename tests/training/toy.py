"""A toy to train: dropout, a buffer, noise from both kinds of generator. Also a program.

python toy.py OUT STEPS [KEY=VALUE ...]   trains it and prints a checksum of the weights
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

import torch
from torch import Tensor, nn

from overpaint.training.loop import end_processes, fit
from overpaint.training.micro_step import MicroStep
from overpaint.training.settings import LoopSettings

N_ROWS = 50


def toy_model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.1), nn.Linear(16, 1)
        )


def plain_model() -> nn.Module:
    """Without dropout and batch statistics, which depend on how a batch is split."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 1))


def toy_loss(model: nn.Module, step: MicroStep) -> dict[str, Tensor]:
    """Regression on noisy inputs, each sample's noise from its own stream."""
    data = torch.randn(N_ROWS, 8, generator=torch.Generator().manual_seed(9))
    x = data[step.rows(N_ROWS)]
    error = model(x + 0.1 * step.normal(8)) - x.sum(1, keepdim=True)
    return {"loss": error.square().mean(), "largest": error.detach().abs().max()}


def toy_settings(**changes: object) -> LoopSettings:
    values: dict[str, object] = {
        "steps": 30,
        "batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-2,
        "lr_schedule": "cosine",
        "warmup_steps": 5,
        "ema_decay": 0.9,
        "mixed_precision": "no",
        "seed": 3,
        "checkpoint_every": 7,
        "log_every": 4,
    }
    return LoopSettings.model_validate({**values, **changes})


def checksum(model: nn.Module) -> str:
    value = 0
    for tensor in model.state_dict().values():
        value = zlib.crc32(tensor.detach().cpu().numpy().tobytes(), value)
    return f"{value:08x}"


def train_into(out: str, result: str) -> None:
    """200 steps with many checkpoints; the checksum of the weights goes into a file."""
    settings = toy_settings(steps=200, checkpoint_every=3, keep_checkpoints=2)
    Path(result).write_text(checksum(fit(toy_model(), toy_loss, settings, Path(out))))


def main() -> None:
    changes = {key: json.loads(value) for key, value in (a.split("=") for a in sys.argv[3:])}
    model = plain_model() if changes.pop("plain", False) else toy_model()
    settings = toy_settings(steps=int(sys.argv[2]), **changes)
    model = fit(model, toy_loss, settings, Path(sys.argv[1]))
    print(checksum(model), flush=True)
    end_processes()


if __name__ == "__main__":
    main()
