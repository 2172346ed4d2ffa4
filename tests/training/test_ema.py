"""The moving average against its recurrence computed by hand."""

from __future__ import annotations

import pytest
import torch

from overpaint.training.ema import Ema, decay_at


def test_the_average_is_its_recurrence() -> None:
    weights = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]
    ema = Ema(weights, decay=0.5)
    want = [w.clone() for w in weights]
    for step in range(20):
        for w in weights:
            w += step
        ema.update(step)
        d = min(0.5, (1 + step) / (10 + step))
        want = [d * e + (1 - d) * w for e, w in zip(want, weights, strict=True)]
    for got, expected in zip(ema.tensors, want, strict=True):
        torch.testing.assert_close(got, expected)


def test_the_decay_ramps_up_to_its_setting() -> None:
    assert decay_at(0, 0.999) == pytest.approx(0.1)
    assert decay_at(90, 0.999) == pytest.approx(0.91)
    assert decay_at(10**6, 0.999) == 0.999


def test_applied_shows_the_average_and_puts_the_weights_back() -> None:
    model = torch.nn.Linear(2, 2)
    ema = Ema(model.parameters(), 0.9)
    start = model.weight.detach().clone()
    with torch.no_grad():
        model.weight += 1
    now = model.weight.detach().clone()
    with ema.applied():
        assert torch.equal(model.weight, start)
    assert torch.equal(model.weight, now)
    assert torch.equal(ema.tensors[0], start)
