"""How sure a figure is: intervals of shares and means, paired differences, and their tests.

shares       Wilson's score interval; of a paired difference Newcombe's, and McNemar's exact test
other means  BCa bootstrap, of few values no narrower than Student's t; of a paired difference besides a sign-flip permutation test
several      Holm's correction (`holm`): of all questions asked, at most one in twenty such families
             has a false answer

All is deterministic: equal values give equal intervals and p-values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb, inf, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from overpaint.seeds import derive_seed

RESAMPLES = 4000  # of the bootstrap
FLIPS = 9999  # drawn sign flips of the permutation test, where not all are enumerated
ALPHA = 0.05
_ENUMERATED = 12  # differences of which all 2^n flips are enumerated
_AT_ONCE = 4_000_000  # numbers drawn at once, which bounds memory
_EQUAL = 1e-6  # relative spread below which values differ by float32's rounding only
_FEW = 10  # values, below which the bootstrap alone is too narrow
_T_OF_FEW = {1: 12.7062, 2: 4.3027, 3: 3.1824}
_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf(1 - ALPHA / 2)

Values = NDArray[np.float64]
Bounds = tuple[float, float]
UNBOUNDED: Bounds = (-inf, inf)


class Estimate(BaseModel):
    """A mean over cases and its 95 % interval.

    Of a share Wilson's; of other values by BCa bootstrap, null for fewer than two cases and where
    all values are equal, since these do not tell how much others would differ.
    """

    mean: float
    low: float | None
    high: float | None
    count: int = Field(description="cases that have this metric")


class Difference(Estimate):
    """Of b minus a over the cases that both have; wins are the cases on which b is better."""

    wins: int
    ties: int
    losses: int
    win_rate: float = Field(description="wins, and half of the ties, as a share of the cases")
    p: float = Field(
        default=1.0,
        description="two-sided, of no difference: McNemar's exact test of shares, else by sign flips",
    )
    p_corrected: float | None = Field(
        default=None, description="p after Holm's correction over the kinds of edit; of a kind only"
    )

    @property
    def is_clear(self) -> bool:
        """Whether p is below 5 %, corrected where the difference is one of several kinds."""
        return (self.p if self.p_corrected is None else self.p_corrected) < ALPHA


def estimate(
    values: Sequence[float | None],
    *,
    share: bool = False,
    bounds: Bounds = UNBOUNDED,
    resamples: int = RESAMPLES,
) -> Estimate | None:
    """Mean and interval of the values that are known; None where none is.

    `share`: the values are 0 or 1, and their mean is the share of ones. `bounds`: the least and the
    most that a mean can be.
    """
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if len(known) == 0:
        return None
    mean = float(known.mean())
    low, high = (
        wilson(_ones(known), len(known)) if share else mean_interval(known, resamples, bounds)
    )
    return Estimate(mean=mean, low=low, high=high, count=len(known))


def paired_difference(
    a: Sequence[float | None],
    b: Sequence[float | None],
    *,
    higher_is_better: bool = True,
    share: bool = False,
    bounds: Bounds = UNBOUNDED,
    resamples: int = RESAMPLES,
) -> Difference | None:
    """b minus a, case by case; None where no case has both.

    Pairs stay together, so what makes a case hard for both models cancels out. `bounds`: the least and
    the most that a difference of means can be.

    Raises:
        ValueError: the two are not equally long.
    """
    both = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    if not both:
        return None
    before, after = np.array(both, dtype=np.float64).T
    apart = after - before
    better = apart if higher_is_better else -apart
    wins, losses = int((better > 0).sum()), int((better < 0).sum())
    ties = len(both) - wins - losses
    low, high = newcombe(before, after) if share else mean_interval(apart, resamples, bounds)
    return Difference(
        mean=float(apart.mean()),
        low=low,
        high=high,
        count=len(both),
        wins=wins,
        ties=ties,
        losses=losses,
        win_rate=(wins + ties / 2) / len(both),
        p=mcnemar(wins, losses) if share else sign_flip(apart),
    )


def wilson(ones: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval (1927) of a share: `ones` of `count` (1 or more)."""
    share, z2 = ones / count, _Z * _Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z * sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    low = 0.0 if ones == 0 else max(0.0, middle - half)
    high = 1.0 if ones == count else min(1.0, middle + half)
    return low, high


def newcombe(a: Values, b: Values) -> tuple[float, float]:
    """95 % interval of the share of ones in b minus that in a, of paired values 0 or 1.

    Method 10 of Newcombe (Statistics in Medicine 17, 1998, p. 2635): Wilson's intervals of both
    shares, joined with the correlation of the pairs. It never collapses.
    """
    n, ones_a, ones_b = len(a), _ones(a), _ones(b)
    share_a, share_b = ones_a / n, ones_b / n
    (low_a, high_a), (low_b, high_b) = wilson(ones_a, n), wilson(ones_b, n)
    both = int((a * b).sum())
    neither = n - ones_a - ones_b + both
    margins = ones_a * (n - ones_a) * ones_b * (n - ones_b)
    excess = both * neither - (ones_a - both) * (ones_b - both)
    corrected = max(excess - n / 2, 0.0) if excess > 0 else float(excess)
    phi = corrected / sqrt(margins) if margins else 0.0
    down, up = share_b - low_b, high_a - share_a
    rise, fall = high_b - share_b, share_a - low_a
    middle = share_b - share_a
    low = middle - sqrt(max(0.0, down * down - 2 * phi * down * up + up * up))
    high = middle + sqrt(max(0.0, rise * rise - 2 * phi * rise * fall + fall * fall))
    return max(-1.0, low), min(1.0, high)


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided p of McNemar's exact test: each case on which two differ is a fair coin's."""
    tosses = wins + losses
    tail: int = sum(comb(tosses, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**tosses)


def sign_flip(apart: Values) -> float:
    """Two-sided p that paired differences (n,) have mean 0: the sign of each could be the other.

    All flips are enumerated for up to twelve differences that are not zero; of more, `FLIPS` are
    drawn, which with the observed one added still gives a valid p (Phipson and Smyth, 2010).
    """
    moved = apart[apart != 0]
    count = len(moved)
    if count == 0:
        return 1.0
    total = moved.sum()
    least = abs(total) * (1 - 1e-9)  # rounding must not tell equal sums apart
    if count <= _ENUMERATED:
        places = np.arange(2**count)[:, None]
        flipped = (places >> np.arange(count)) & 1
        return float((np.abs(total - 2 * (flipped @ moved)) >= least).mean())
    rng = np.random.default_rng(derive_seed(0, "sign flips", count))
    rows = max(1, _AT_ONCE // count)
    beyond = 0
    for done in range(0, FLIPS, rows):
        shape = (min(rows, FLIPS - done), -(-count // 8))
        drawn = rng.integers(0, 256, size=shape, dtype=np.uint8)
        sums = total - 2 * (np.unpackbits(drawn, axis=1, count=count) @ moved)
        beyond += int((np.abs(sums) >= least).sum())
    return (beyond + 1) / (FLIPS + 1)


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """The p-values of several questions, corrected after Holm (1979): below 5 % is clear."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(ps, key=lambda name: ps[name])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in ps}


def mean_interval(
    values: Values, resamples: int = RESAMPLES, bounds: Bounds = UNBOUNDED
) -> tuple[float | None, float | None]:
    """95 % interval of a mean; None where the values tell nothing of their spread.

    By `bca`. Resampled means never leave the values' own range, which holds the mean of two in
    half of all cases only, of four in seven of eight: of few it reaches at least as far as Student's t,
    but no further than `bounds`, beyond which no mean lies.
    """
    low, high = bca(values, resamples)
    count = len(values)
    if low is None or high is None or count >= _FEW:
        return low, high
    mean = float(values.mean())
    half = student_t(count - 1) * float(values.std(ddof=1)) / sqrt(count)
    least, most = min(bounds[0], mean), max(bounds[1], mean)  # a cosine may be 1 + 1e-7
    return max(least, min(low, mean - half)), min(most, max(high, mean + half))


def bca(values: Values, resamples: int = RESAMPLES) -> tuple[float | None, float | None]:
    """The bias-corrected and accelerated bootstrap's 95 % interval of a mean (Efron, 1987).

    Its levels are widened as Hesterberg (2015) has it, by Student's t instead of the normal and
    by sqrt(n / (n - 1)), since for few values the plain bootstrap is too narrow. None where the
    values tell nothing of their spread: there are fewer than two, or all are equal.
    """
    count = len(values)
    if count < 2 or np.ptp(values) <= _EQUAL * np.abs(values).max():
        return None, None
    mean = values.mean()
    means = _resampled_means(values, resamples)
    close = 1e-12 * np.abs(values).max()
    below = ((means < mean - close).mean() + (means <= mean + close).mean()) / 2
    bias = _NORMAL.inv_cdf(float(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples)))
    apart = values - mean
    acceleration = float((apart**3).sum() / (6 * (apart**2).sum() ** 1.5))
    reach = sqrt(count / (count - 1)) * student_t(count - 1)
    levels = [_bca_level(bias, acceleration, side * reach) for side in (-1, 1)]
    low, high = np.quantile(means, levels)
    return float(low), float(high)


def student_t(freedom: int) -> float:
    """The 0.975 quantile of Student's t (from 4 on Cornish and Fisher's expansion, within 1 %)."""
    if freedom in _T_OF_FEW:
        return _T_OF_FEW[freedom]
    z, v = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def _bca_level(bias: float, acceleration: float, reach: float) -> float:
    """The share of resampled means below an end of the interval."""
    moved = bias + reach
    shrunk = 1 - acceleration * moved
    if shrunk <= 0:  # beyond all resampled means
        return 1.0 if moved > 0 else 0.0
    return _NORMAL.cdf(bias + moved / shrunk)


def _resampled_means(values: Values, resamples: int) -> Values:
    count = len(values)
    rng = np.random.default_rng(derive_seed(0, "bootstrap", count))
    rows = max(1, _AT_ONCE // count)
    means = [
        values[rng.integers(0, count, size=(min(rows, resamples - done), count))].mean(axis=1)
        for done in range(0, resamples, rows)
    ]
    return np.concatenate(means)


def _ones(values: Values) -> int:
    """How many are 1; the others must be 0."""
    if not np.isin(values, (0.0, 1.0)).all():
        raise ValueError("a share is of values that are 0 or 1")
    return int(values.sum())
