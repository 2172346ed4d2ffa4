"""Seeds stay what they are: data and models made from them must be made again, bit by bit."""

from __future__ import annotations

import itertools

from overpaint.seeds import derive_seed


def test_seeds_never_change() -> None:
    assert derive_seed(0) == 7552799593083971110
    assert derive_seed(42, "train", 7, b"\x00") == 8941068287290418528


def test_every_part_counts() -> None:
    calls = [
        (0,), (1,), (0, "a"), (0, b"a"), (0, "a", "b"), (0, "ab"), (0, "b", "a"),
        (0, 1), (0, "1"), (0, 1, 1), (0, 11), (0, -1), (0, ""), (0, b""),
    ]  # fmt: skip
    for one, other in itertools.combinations(calls, 2):
        assert derive_seed(*one) != derive_seed(*other), (one, other)  # type: ignore[arg-type]


def test_seeds_fit_a_signed_integer_of_64_bits() -> None:
    seeds = [derive_seed(index, "x") for index in range(1000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62
