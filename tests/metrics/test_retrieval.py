"""Retrieval@1: the target itself is always found, the unedited input never, noise by chance."""

from __future__ import annotations

import numpy as np
import pytest
from edit_accuracy import METHODS, edit_accuracy

from overpaint.evaluation.sources import benchmark_examples
from overpaint.metrics.pixelwise import psnr
from overpaint.metrics.retrieval import is_retrieved
from overpaint.scenes.edits import KINDS, kinds_of
from overpaint.scenes.examples import SPLITS


def flat(value: int) -> np.ndarray:
    return np.full((4, 4, 3), value, dtype=np.uint8)


def test_nearest_wins_and_a_tie_is_a_miss() -> None:
    assert is_retrieved(flat(10), [flat(12)], [flat(14), flat(90)])
    assert not is_retrieved(flat(13), [flat(10)], [flat(14)])
    assert not is_retrieved(flat(12), [flat(10)], [flat(14)])
    assert is_retrieved(flat(10), [flat(200), flat(11)], [flat(14)])


def test_psnr_by_hand() -> None:
    assert psnr(flat(0), flat(255)) == pytest.approx(0)
    assert psnr(flat(100), flat(101)) == pytest.approx(20 * np.log10(255))
    assert psnr(flat(1), flat(1)) == float("inf")
    mask = np.zeros((4, 4), dtype=bool)
    assert psnr(flat(1), flat(1), mask) is None
    mask[0] = True
    half = flat(0)
    half[1:] = 255
    assert psnr(flat(0), half, mask) == float("inf")


@pytest.mark.parametrize("split", SPLITS)
def test_the_exact_target_scores_one_and_the_input_zero(split: str) -> None:
    examples = benchmark_examples(26, 99, split)  # type: ignore[arg-type]
    scores = edit_accuracy(examples, lambda batch: [e.targets[-1] for e in batch])
    assert set(scores) == {*KINDS, "overall"}
    for score in scores.values():
        assert score["retrieval"]["editor"] == 1.0
        assert score["retrieval"]["return the input"] == 0.0
        assert set(score["retrieval"]) == set(METHODS)


@pytest.mark.slow
def test_the_whole_picture_is_compared_with_the_nearest_right_answer() -> None:
    examples = benchmark_examples(30, 7, "train", version=2)

    def lighter(batch: list) -> list[np.ndarray]:
        return [np.where(e.targets[-1] < 128, e.targets[-1] + 4, e.targets[-1] - 4) for e in batch]

    scores = edit_accuracy(examples, lighter, n_candidates=8)
    assert set(scores) == {*kinds_of(2), "overall"}
    for kind, score in scores.items():
        assert score["count"] == (30 if kind == "overall" else 2)
        assert score["whole_psnr"] == pytest.approx(20 * np.log10(255 / 4), abs=0.01)
    assert scores["keep"]["retrieval"]["return the input"] == 1.0
    exact = edit_accuracy(examples, lambda batch: [e.targets[0] for e in batch], n_candidates=8)
    assert exact["overall"]["whole_psnr"] == 60.0


@pytest.mark.slow
def test_noise_is_right_about_once_in_thirty_two() -> None:
    rng = np.random.default_rng(0)
    examples = benchmark_examples(65, 5, "train")

    def noise(batch: list) -> list[np.ndarray]:
        return [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in batch]

    assert edit_accuracy(examples, noise)["overall"]["retrieval"]["editor"] < 0.15
