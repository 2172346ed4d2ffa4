"""Learning-rate factors against their formulas."""

from __future__ import annotations

import math

import pytest

from overpaint.diffusion.schedules import lr_multiplier


def test_constant_is_one_everywhere() -> None:
    assert {lr_multiplier("constant", step, 300) for step in range(300)} == {1.0}


def test_warm_up_rises_to_one_and_the_first_step_counts() -> None:
    assert [lr_multiplier("constant", s, 100, 4) for s in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


@pytest.mark.parametrize("step", [10, 11, 50, 99])
def test_cosine_and_linear_run_over_what_warm_up_leaves(step: int) -> None:
    p = (step - 10) / 90
    assert lr_multiplier("cosine", step, 100, 10) == pytest.approx((1 + math.cos(math.pi * p)) / 2)
    assert lr_multiplier("linear", step, 100, 10) == pytest.approx(1 - p)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="saw"):
        lr_multiplier("saw", 0, 10)
