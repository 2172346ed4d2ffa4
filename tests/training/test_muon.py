"""Muon: orthogonal steps for wide matrices, AdamW's for the rest, and resumable as any other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from overpaint.training.loop import fit
from overpaint.training.micro_step import MicroStep
from overpaint.training.muon import Muon, is_matrix, orthogonalised

sys.path.insert(0, str(Path(__file__).parent))
from toy import checksum, toy_settings

SETTINGS = toy_settings(optimizer="muon", steps=12, checkpoint_every=5)


def wide_model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(32, 48), nn.SiLU(), nn.Linear(48, 32), nn.Linear(32, 1))


def wide_loss(model: nn.Module, step: MicroStep) -> dict[str, Tensor]:
    x = step.normal(32)
    return {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean()}


@pytest.mark.parametrize("shape", [(32, 288), (48, 64), (288, 32), (160, 1440)])
def test_an_orthogonalised_matrix_keeps_its_directions(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    turned = u.T @ orthogonalised(matrix) @ v.T
    assert (turned - turned.diagonal().diag()).abs().max() < 1e-6
    assert turned.diagonal().min() > 0.3
    assert turned.diagonal().max() < 1.3


def test_narrow_weights_and_vectors_take_adamws_step() -> None:
    def parameters() -> list[nn.Parameter]:
        generator = torch.Generator().manual_seed(1)
        shapes = ((7,), (16, 64), (40, 3, 3, 3))
        return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]

    ours, theirs = parameters(), parameters()
    assert not any(map(is_matrix, ours))
    options = {"lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.1}
    both = Muon(ours, **options), torch.optim.AdamW(theirs, **options)
    for _ in range(5):
        for optimizer, given in zip(both, (ours, theirs), strict=True):
            optimizer.zero_grad()
            sum(p.square().sum() for p in given).backward()
            optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_a_wide_weights_step_is_orthogonal_and_as_large_as_adamws() -> None:
    weight = nn.Parameter(torch.zeros(48, 32, 3, 3))
    assert is_matrix(weight)
    optimizer = Muon([weight], lr=0.01)
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    optimizer.step()
    moved = weight.detach().flatten(1)
    size = torch.linalg.svdvals(moved) / (0.01 * 0.2 * 288**0.5)
    assert 0.5 < size.min() <= size.max() < 1.3
    assert 0.1 < moved.square().mean().sqrt() / (0.01 * 0.2) < 1.3 / 48**0.5 * 288**0.5


def test_a_run_that_was_stopped_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole = fit(wide_model(), wide_loss, SETTINGS, tmp_path / "whole")

    def stopping(model: nn.Module, step: MicroStep) -> dict[str, Tensor]:
        if step.index == 8:
            raise KeyboardInterrupt
        return wide_loss(model, step)

    with pytest.raises(KeyboardInterrupt):
        fit(wide_model(), stopping, SETTINGS, tmp_path / "cut")
    again = fit(wide_model(), wide_loss, SETTINGS, tmp_path / "cut")
    assert checksum(again) == checksum(whole) != checksum(wide_model())
