"""Random numbers and row order are functions of (seed, position), not of how work is split."""

from __future__ import annotations

import torch

from overpaint.training.micro_step import MicroStep


def one(index: int = 0, micro: int = 0, accumulation: int = 1, batch: int = 8, **more) -> MicroStep:
    return MicroStep(
        index=index, micro=micro, accumulation=accumulation, batch_size=batch, seed=5, **more
    )


def test_every_epoch_shows_every_row_once_in_another_order() -> None:
    seen = torch.cat([one(index).rows(12) for index in range(3)])  # 24 samples: two epochs
    first, second = seen[:12], seen[12:]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(12))
    assert first.tolist() != second.tolist()


def test_a_batch_larger_than_the_data_wraps_around() -> None:
    rows = one(batch=10).rows(3)
    assert rows.shape == (10,)
    assert sorted(rows[:3].tolist()) == [0, 1, 2]


def test_accumulation_and_processes_only_split_the_samples() -> None:
    whole = one(index=3, batch=8)
    normal, uniform = whole.normal(2, 3), whole.uniform()
    halves = [one(index=3, micro=m, accumulation=2, batch=4) for m in range(2)]
    shares = [one(index=3, batch=8, process=p, processes=2) for p in range(2)]
    for parts in (halves, shares):
        assert torch.equal(torch.cat([p.rows(100) for p in parts]), whole.rows(100))
        assert torch.equal(torch.cat([p.normal(2, 3) for p in parts]), normal)
        assert torch.equal(torch.cat([p.uniform() for p in parts]), uniform)


def test_steps_and_seeds_differ() -> None:
    a = one(0).normal(4)
    assert not torch.equal(a, one(1).normal(4))
    other = MicroStep(index=0, micro=0, accumulation=1, batch_size=8, seed=6)
    assert not torch.equal(a, other.normal(4))
    assert other.rows(100).tolist() != one(0).rows(100).tolist()


def test_one_step_draws_on_in_its_streams() -> None:
    step = one()
    assert not torch.equal(step.normal(4), step.normal(4))


def test_the_shared_generator_belongs_to_step_micro_batch_and_process() -> None:
    steps = [one(0), one(1), one(0, micro=1), one(0, process=1, processes=2)]
    draws = {float(torch.rand((), generator=s.generator)) for s in steps}
    assert len(draws) == 4
    assert float(torch.rand((), generator=one(0).generator)) in draws


def test_numbers_are_in_range() -> None:
    step = one(batch=64)
    assert set(step.integers(3).tolist()) == {0, 1, 2}
    u = step.uniform(5)
    assert u.shape == (64, 5)
    assert 0 <= float(u.min()) <= float(u.max()) < 1
