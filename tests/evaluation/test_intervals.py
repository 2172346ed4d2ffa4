"""Bootstrap intervals and paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from overpaint.evaluation.intervals import FEWEST, estimate, paired_difference


def test_the_interval_is_that_of_the_textbook() -> None:
    """Of a large normal sample, the bootstrap's interval is mean ± 1.96 standard errors."""
    values = np.random.default_rng(1).normal(3.0, 2.0, 1500)
    found = estimate(list(values), resamples=4000)
    assert found is not None
    error = values.std() / np.sqrt(1500)
    assert found.mean == pytest.approx(values.mean(), abs=1e-9)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_two_values_have_three_possible_means() -> None:
    """Of {0, 1}, resampled means are 0, 1/2, 1 with 1/4, 1/2, 1/4: the interval is all of it."""
    found = estimate([0.0, 1.0])
    assert found is not None
    assert (found.mean, found.low, found.high, found.count) == (0.5, 0.0, 1.0, 2)


def test_what_is_unknown_does_not_count() -> None:
    assert estimate([]) is None
    assert estimate([None, None]) is None
    one = estimate([None, 4.0])
    assert one is not None
    assert (one.mean, one.low, one.high, one.count) == (4.0, None, None, 1)


def test_the_same_values_give_the_same_interval() -> None:
    values = list(np.random.default_rng(0).random(50))
    assert estimate(values) == estimate(values)


def test_pairs_are_compared_case_by_case() -> None:
    """What makes cases hard for both cancels out: a small steady gain is clear."""
    hard = np.random.default_rng(0).normal(0, 100, 40)
    found = paired_difference(list(hard), list(hard + 1.0))
    assert found is not None
    assert found.mean == pytest.approx(1.0)
    assert found.is_clear
    assert (found.wins, found.ties, found.losses, found.win_rate) == (40, 0, 0, 1.0)


def test_wins_follow_the_metric_s_direction() -> None:
    a, b = [1.0, 2.0, 3.0, None, 5.0], [0.5, 2.5, 3.0, 1.0, None]
    found = paired_difference(a, b, higher_is_better=False)
    assert found is not None
    assert (found.wins, found.ties, found.losses, found.count) == (1, 1, 1, 3)
    assert found.win_rate == pytest.approx(0.5)
    assert found.mean == pytest.approx(0.0)


def test_few_cases_settle_nothing() -> None:
    few = paired_difference([0.0] * (FEWEST - 1), [1.0] * (FEWEST - 1))
    enough = paired_difference([0.0] * FEWEST, [1.0] * FEWEST)
    assert few is not None
    assert enough is not None
    assert not few.is_clear
    assert enough.is_clear
    assert paired_difference([None], [1.0]) is None
