"""Do the report's statistics hold? By simulation, on data whose truth is known.

    python benchmarks/interval_coverage.py [--simulations 2000]

Three tables: how often a 95 % interval of a share holds the share; the same of means and of paired
differences; and how often two equal models are told apart, over 13 kinds of 46 cases and overall.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from overpaint.metrics.intervals import (
    ALPHA,
    holm,
    mcnemar,
    mean_interval,
    newcombe,
    sign_flip,
    wilson,
)

KINDS, CASES = 13, 46
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

SHAPES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, n: rng.normal(0.0, 1.0, n), 0.0),
    "uniform": (lambda rng, n: rng.random(n), 0.5),
    "exponential": (lambda rng, n: rng.exponential(1.0, n), 1.0),
    "log-normal": (lambda rng, n: rng.lognormal(0.0, 0.75, n), float(np.exp(0.75**2 / 2))),
}


def share_coverage(share: float, count: int, simulations: int, seed: int = 0) -> float:
    """How often Wilson's interval of `count` cases holds `share`."""
    rng = np.random.default_rng(seed)
    held = {ones: _holds(wilson(ones, count), share) for ones in range(count + 1)}
    return float(np.mean([held[int(ones)] for ones in rng.binomial(count, share, simulations)]))


def mean_coverage(shape: str, count: int, simulations: int, seed: int = 0) -> float:
    """How often the interval of `count` values of this shape holds their true mean."""
    rng = np.random.default_rng(seed)
    draw, truth = SHAPES[shape]
    return float(
        np.mean([_holds(mean_interval(draw(rng, count)), truth) for _ in range(simulations)])
    )


def difference_coverage(
    shares: tuple[float, float], count: int, simulations: int, alike: float = 0.5, seed: int = 0
) -> float:
    """How often Newcombe's interval holds b minus a; an `alike` share of cases has one draw for both."""
    rng = np.random.default_rng(seed)
    held = []
    for _ in range(simulations):
        a, b = _answers(rng, shares, count, alike)
        held.append(_holds(newcombe(a, b), shares[1] - shares[0]))
    return float(np.mean(held))


def false_findings(
    metric: str, simulations: int, share: float = 0.8, alike: float = 0.5, seed: int = 0
) -> dict[str, float]:
    """How often two equal models are told apart: on a kind, on a kind without Holm, and overall."""
    rng = np.random.default_rng(seed)
    found = {"on a kind": 0, "on a kind, uncorrected": 0, "overall": 0, "anywhere": 0}
    for _ in range(simulations):
        if metric == "share":
            a, b = _answers(rng, (share, share), KINDS * CASES, alike)
            parts = [b[i::KINDS] - a[i::KINDS] for i in range(KINDS)]
            ps = [mcnemar(int((d > 0).sum()), int((d < 0).sum())) for d in parts]
            whole = b - a
            p = mcnemar(int((whole > 0).sum()), int((whole < 0).sum()))
        else:
            whole = rng.lognormal(0.0, 0.75, KINDS * CASES) - rng.lognormal(0, 0.75, KINDS * CASES)
            ps = [sign_flip(whole[i::KINDS]) for i in range(KINDS)]
            p = sign_flip(whole)
        corrected = holm({str(i): value for i, value in enumerate(ps)})
        on_a_kind, overall = min(corrected.values()) < ALPHA, p < ALPHA
        found["on a kind"] += on_a_kind
        found["on a kind, uncorrected"] += min(ps) < ALPHA
        found["overall"] += overall
        found["anywhere"] += on_a_kind or overall
    return {name: number / simulations for name, number in found.items()}


def _answers(
    rng: np.random.Generator, shares: tuple[float, float], count: int, alike: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right (1) or wrong (0) answers of two models, correlated case by case."""
    first, second = rng.random((2, count))
    second = np.where(rng.random(count) < alike, first, second)
    return (first < shares[0]).astype(float), (second < shares[1]).astype(float)


def _holds(interval: tuple[float | None, float | None], truth: float) -> bool:
    low, high = interval
    return low is not None and high is not None and low <= truth <= high


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=2000)
    runs = parser.parse_args().simulations
    print("share p   cases   held by its 95 % interval")
    for share in (0.5, 0.9, 0.98, 1.0):
        for count in (20, 46, 600):
            print(f"{share:7g} {count:7d}   {share_coverage(share, count, 10 * runs):.3f}")
    print("\ndifference of paired shares")
    for shares in ((0.5, 0.5), (0.9, 0.9), (0.8, 0.9), (0.98, 0.98)):
        for count in (20, 46, 600):
            held = difference_coverage(shares, count, runs)
            print(f"{shares[0]:g} and {shares[1]:g} {count:7d}   {held:.3f}")
    print("\nmean of      cases   held")
    for shape in SHAPES:
        for count in (2, 4, 10, 20, 46, 200):
            print(f"{shape:<12} {count:5d}   {mean_coverage(shape, count, runs):.3f}")
    print(f"\ntwo equal models, {KINDS} kinds of {CASES} cases: how often told apart")
    for metric in ("share", "other"):
        for name, rate in false_findings(metric, runs).items():
            print(f"{metric:<6} {name:<24} {100 * rate:.1f} %")


if __name__ == "__main__":
    main()
