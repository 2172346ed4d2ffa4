"""A training step neither reads the device nor waits for it, between two lines of the log."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from accelerator import DEVICE, Accelerator, crossings, move
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from overpaint.training.loop import make_accelerator, train_loop
from overpaint.training.micro_step import MicroStep
from overpaint.training.settings import LoopSettings

STEPS, MICRO = 4, 2


class Small(nn.Module):
    """A convolution and a layer that Muon takes for a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 64, 3, padding=1)
        self.linear = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4, 8, 8) to (B, 64)."""
        return self.linear(self.conv(x).mean((2, 3)).relu())


def loss(model: nn.Module, step: MicroStep) -> dict[str, Tensor]:
    noise, scale = step.normal(4, 8, 8), step.uniform()
    return {"loss": (model(noise) * scale[:, None] - 1).square().mean()}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_no_step_reads_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, ema: float | None
) -> None:
    settings = LoopSettings(
        steps=STEPS, batch_size=2, gradient_accumulation_steps=MICRO, learning_rate=1e-3,
        optimizer=optimizer, ema_decay=ema, mixed_precision="no", log_every=STEPS,
    )  # fmt: skip
    for name in ("cpu", "device"):
        (tmp_path / name).mkdir()
    torch.manual_seed(0)
    here, there = Small(), Small()
    there.load_state_dict(here.state_dict())
    train_loop(make_accelerator(settings), here, loss, settings, tmp_path / "cpu", validate=None)

    state = make_accelerator(settings)
    monkeypatch.setattr(type(state), "device", DEVICE)
    # torch names the devices of its fused step by hand; the CPU's kernel does the work here.
    kernels = sys.modules["torch.optim.optimizer"]
    names = [DEVICE.type, "cpu"]
    monkeypatch.setattr(kernels, "_get_fused_kernels_supported_devices", lambda: names)
    with Accelerator() as device, crossings(there, device) as calls:
        move(there)
        train_loop(state, there, loss, settings, tmp_path / "device", validate=None)
    assert len(calls) == STEPS * MICRO
    assert {reads for reads, _ in calls} == {calls[0][0]}
    if ema is None:  # weights and average change places by `.data`, which is not pretended
        for name, weight in there.named_parameters():
            assert torch.allclose(weight.inner, here.get_parameter(name), atol=1e-6), name


class Checkpointed(nn.Module):
    """A layer of attention that is computed a second time on the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def attend(self, x: Tensor) -> Tensor:
        """(B, 1, L, 16) to the same."""
        hidden = self.layer(x)
        return F.scaled_dot_product_attention(hidden, hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, L, 16) to the same."""
        answer: Tensor = checkpoint(self.attend, x, use_reentrant=False)
        return answer


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_checkpointing_computes_attention_again_as_it_did(tmp_path: Path, precision: str) -> None:
    settings = LoopSettings(
        steps=2, batch_size=2, learning_rate=1e-3, mixed_precision=precision, log_every=2
    )
    model = Checkpointed()
    before = model.layer.weight.detach().clone()

    def loss(model: nn.Module, step: MicroStep) -> dict[str, Tensor]:
        return {"loss": model(step.normal(1, 8, 16)).float().square().mean()}

    train_loop(make_accelerator(settings), model, loss, settings, tmp_path, validate=None)
    assert not torch.equal(model.layer.weight, before)
