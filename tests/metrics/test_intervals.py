"""Intervals hold what they say, and equal models are not told apart: checked by simulation."""

from __future__ import annotations

import sys
from itertools import product
from math import comb
from pathlib import Path

import numpy as np
import pytest

from overpaint.metrics.definitions import METRICS, Metric
from overpaint.metrics.intervals import (
    estimate,
    holm,
    mcnemar,
    newcombe,
    paired_difference,
    sign_flip,
    student_t,
    wilson,
)

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from interval_coverage import (
    difference_coverage,
    false_findings,
    mean_coverage,
)

ONES = {20: (0, 1, 10, 19, 20), 46: (0, 23, 45, 46), 600: (0, 300, 599, 600)}


@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("count", [20, 46, 600])
def test_a_share_is_held_as_often_as_said(share: float, count: int) -> None:
    """Exactly, over the binomial distribution, not by chance."""
    held = 0.0
    for ones in range(count + 1):
        low, high = wilson(ones, count)
        if low <= share <= high:
            held += comb(count, ones) * share**ones * (1 - share) ** (count - ones)
    assert 0.93 <= held <= 0.98


@pytest.mark.parametrize(("count", "ones"), [(n, k) for n, all_k in ONES.items() for k in all_k])
def test_the_interval_of_a_share_never_collapses(count: int, ones: int) -> None:
    """46 of 46 is not "1.0 to 1.0": it leaves room where the truth can be, and stays in [0, 1]."""
    found = estimate([1.0] * ones + [0.0] * (count - ones), share=True)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= ones / count <= found.high <= 1
    assert found.high - found.low > 1 / count
    assert (found.high == 1.0) == (ones == count)


def test_wilson_s_interval_is_the_one_in_the_books() -> None:
    """81 of 263, 0 of 20 and 1 of 29 are the examples of Newcombe (1998)."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)


def test_newcombe_s_paired_interval_holds_and_never_collapses() -> None:
    for shares, count in product(((0.5, 0.5), (0.8, 0.9)), (20, 46)):
        assert difference_coverage(shares, count, 600) >= 0.93
    for a, b in (([1.0] * 46, [1.0] * 46), ([0.0] * 46, [1.0] * 46), ([0.0, 1.0], [0.0, 1.0])):
        low, high = newcombe(np.array(a), np.array(b))
        assert -1 <= low < high <= 1
    a = np.array([1.0] * 29 + [0.0] * 9 + [1.0] * 3 + [0.0] * 9)
    b = np.array([1.0] * 29 + [1.0] * 9 + [0.0] * 3 + [0.0] * 9)
    low, high = newcombe(a, b)
    assert low < b.mean() - a.mean() < high
    back = newcombe(b, a)
    assert back == pytest.approx((-high, -low))


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["normal", "exponential"])
def test_the_mean_of_few_values_is_held_nearly_as_often_as_said(shape: str) -> None:
    """The percentile bootstrap of ten normal values holds 0.90, of ten exponential ones 0.86."""
    assert 0.89 <= mean_coverage(shape, 10, 400) <= 0.98
    assert 0.90 <= mean_coverage(shape, 46, 400) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_a_handful_of_values_has_no_false_certainty(count: int) -> None:
    """A bootstrap never leaves the values' range: it holds the mean of two normal ones 0.51."""
    assert 0.92 <= mean_coverage("normal", count, 400) <= 0.99
    assert mean_coverage("exponential", count, 400) >= 0.86


def test_the_interval_of_many_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 1500)
    found = estimate(list(values))
    assert found is not None
    error = values.std() / np.sqrt(1500)
    assert found.mean == pytest.approx(values.mean(), abs=1e-9)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_a_skewed_sample_reaches_further_to_its_long_side() -> None:
    values = np.random.default_rng(2).exponential(1.0, 40)
    found = estimate(list(values))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.mean > 1.1 * (found.mean - found.low)
    mirrored = estimate(list(-values))
    assert mirrored is not None
    assert mirrored.low == pytest.approx(-found.high, rel=0.02)


@pytest.mark.parametrize("values", [[0.3], [60.0] * 20, [0.1 + 0.2, 0.3, 0.3], [0.0] * 5])
def test_values_that_tell_nothing_of_their_spread_have_no_interval(values: list[float]) -> None:
    found = estimate(values)
    assert found is not None
    assert (found.low, found.high, found.count) == (None, None, len(values))


def test_student_s_t_is_that_of_the_tables() -> None:
    for freedom, value in (
        (1, 12.706),
        (2, 4.303),
        (3, 3.182),
        (4, 2.776),
        (9, 2.262),
        (29, 2.045),
        (1000, 1.962),
    ):
        assert student_t(freedom) == pytest.approx(value, rel=0.01)


def test_what_is_unknown_does_not_count() -> None:
    assert estimate([]) is None
    assert estimate([None, None]) is None
    assert estimate([None, None], share=True) is None
    one = estimate([None, 4.0])
    assert one is not None
    assert (one.mean, one.low, one.high, one.count) == (4.0, None, None, 1)


def test_what_is_no_share_is_not_taken_for_one() -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        estimate([0.5, 1.0], share=True)


def test_the_same_values_give_the_same_interval_and_p() -> None:
    a, b = np.random.default_rng(0).random((2, 50)).tolist()
    assert estimate(a) == estimate(a)
    assert paired_difference(a, b) == paired_difference(a, b)


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


@pytest.mark.parametrize("share", [True, False])
def test_few_cases_settle_nothing(share: bool) -> None:
    """Of five cases that all speak for one side, 2 of 32 tosses would too: p = 0.0625."""
    for count, clear in ((1, False), (5, False), (6, True), (40, True)):
        found = paired_difference([0.0] * count, [1.0] * count, share=share)
        assert found is not None
        assert found.is_clear is clear
    assert paired_difference([None], [1.0]) is None


def test_mcnemar_s_exact_test_is_two_binomial_tails() -> None:
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1.0
    assert mcnemar(0, 6) == mcnemar(6, 0) == pytest.approx(2 / 64)
    assert mcnemar(1, 9) == pytest.approx(2 * 11 / 1024)
    assert 0 < mcnemar(2000, 2300) < 1e-4


def test_sign_flips_drawn_agree_with_all_of_them() -> None:
    """Of the signs of n equal values, the sums are binomial: the p-value is McNemar's."""
    for wins, losses in ((5, 1), (8, 3), (20, 9), (40, 31)):
        apart = np.array([0.7] * wins + [-0.7] * losses)
        assert sign_flip(apart) == pytest.approx(mcnemar(wins, losses), abs=0.012)
    assert sign_flip(np.zeros(9)) == 1.0
    assert sign_flip(np.array([0.0, 0.0, 2.0])) == 1.0


def test_holm_s_correction_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06}
    )
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "simulations"), [("share", 1000), ("other", 150)])
def test_two_equal_models_are_rarely_told_apart_on_any_of_13_kinds(
    metric: str, simulations: int
) -> None:
    found = false_findings(metric, simulations)
    assert found["on a kind"] <= 0.05
    assert found["overall"] <= 0.05 + 3 * (0.05 * 0.95 / simulations) ** 0.5
    assert found["on a kind, uncorrected"] > 0.1  # which shows that the correction is needed


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("count", [2, 3, 4, 40])
def test_no_interval_leaves_what_a_metric_can_be(metric: Metric, count: int) -> None:
    """Of a few values Student's t alone would reach beyond both ends."""
    least, most = metric.bounds
    ends = [least, most] * 20
    near = [least + (most - least) * value for value in (0.001, 0.9, 0.02, 0.999)] * 10
    for values, others in ((ends, near), (near, ends)):
        if metric.is_share:
            values, others = [float(v > 0.5) for v in values], [float(v > 0.5) for v in others]
        found = estimate(values[:count], share=metric.is_share, bounds=metric.bounds)
        apart = paired_difference(
            values[:count],
            others[::-1][:count],
            share=metric.is_share,
            bounds=metric.difference_bounds,
        )
        for one, (low, high) in ((found, metric.bounds), (apart, metric.difference_bounds)):
            assert one is not None
            if one.low is not None and one.high is not None:
                assert low <= one.low <= one.mean <= one.high <= high


def test_bounds_never_part_an_interval_from_its_mean() -> None:
    """Cosines in float32 may be a little more than 1."""
    found = estimate([1.0000001, 1.0000001, 0.99], bounds=(-1, 1))
    assert found is not None
    assert found.high is not None
    assert found.mean <= found.high <= 1
    above = estimate([1.001, 1.002], bounds=(-1, 1))
    assert above is not None
    assert above.high is not None
    assert above.mean <= above.high
