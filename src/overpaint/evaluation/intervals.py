"""How sure a mean is: percentile bootstrap, for one model and for the difference of two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from overpaint.seeds import derive_seed

RESAMPLES = 2000
FEWEST = 10  # cases for which a percentile interval is taken at its word: of fewer it is too narrow
_AT_ONCE = 4_000_000  # numbers drawn at once, which bounds memory


class Estimate(BaseModel):
    """A mean over cases and its bootstrap 95 % interval (null for fewer than two cases)."""

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

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves zero out, of at least ten cases."""
        if self.low is None or self.high is None or self.count < FEWEST:
            return False
        return self.low > 0 or self.high < 0


def estimate(values: Sequence[float | None], resamples: int = RESAMPLES) -> Estimate | None:
    """Mean and interval of the values that are known; None where none is.

    The percentile bootstrap (Efron, 1979): the 2.5 and 97.5 percentiles of the means of
    `resamples` draws with replacement. The draws depend on the number of values alone, so the
    same values give the same interval.
    """
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if len(known) == 0:
        return None
    low, high = _interval(known, resamples)
    return Estimate(mean=float(known.mean()), low=low, high=high, count=len(known))


def paired_difference(
    a: Sequence[float | None],
    b: Sequence[float | None],
    *,
    higher_is_better: bool = True,
    resamples: int = RESAMPLES,
) -> Difference | None:
    """b minus a, case by case; None where no case has both.

    Cases are resampled as pairs, so what makes a case hard for both models cancels out.

    Raises:
        ValueError: the two are not equally long.
    """
    both = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    if not both:
        return None
    apart = np.array([y - x for x, y in both], dtype=np.float64)
    better = apart if higher_is_better else -apart
    wins, losses = int((better > 0).sum()), int((better < 0).sum())
    ties = len(both) - wins - losses
    low, high = _interval(apart, resamples)
    return Difference(
        mean=float(apart.mean()),
        low=low,
        high=high,
        count=len(both),
        wins=wins,
        ties=ties,
        losses=losses,
        win_rate=(wins + ties / 2) / len(both),
    )


def _interval(values: NDArray[np.float64], resamples: int) -> tuple[float | None, float | None]:
    count = len(values)
    if count < 2:
        return None, None
    rng = np.random.default_rng(derive_seed(0, "bootstrap", count))
    rows = max(1, _AT_ONCE // count)
    means = [
        values[rng.integers(0, count, size=(min(rows, resamples - done), count))].mean(axis=1)
        for done in range(0, resamples, rows)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)
