"""Thresholds from scenes with known answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from overpaint.cli import main
from overpaint.engine.threads import THREADS
from overpaint.models.clip import load_clip
from overpaint.pairs import calibration
from overpaint.pairs.calibration import SceneSample, calibrate, choose_cut
from overpaint.pairs.settings import PairsSettings
from overpaint.recipe import read_block


def test_the_threshold_balances_right_and_wrong() -> None:
    """Every threshold that could be is tried by hand."""
    draw = np.random.default_rng(0)
    right, wrong = draw.normal(0.5, 0.1, 200), draw.normal(0.3, 0.1, 300)
    cut = choose_cut(right.tolist(), wrong.tolist())
    best = max((np.mean(right >= t / 100) + np.mean(wrong < t / 100)) / 2 for t in range(-100, 101))
    assert cut.balanced_accuracy == pytest.approx(best, abs=1e-3)
    assert cut.right_passing == pytest.approx(np.mean(right >= cut.threshold), abs=1e-3)


def test_samples_that_do_not_touch_are_cut_at_the_first_step_that_parts_them() -> None:
    cut = choose_cut([0.8, 0.9], [0.1, 0.301])
    assert (cut.threshold, cut.right_passing, cut.wrong_passing) == (0.31, 1.0, 0.0)


def test_a_precision_is_reached_at_the_lowest_threshold_that_has_it() -> None:
    right, wrong = [0.2, 0.4, 0.6, 0.8], [0.0, 0.1, 0.3, 0.5]
    assert choose_cut(right, wrong, precision=1.0).threshold == 0.51
    assert choose_cut(right, wrong, precision=0.6).threshold == 0.11
    never = choose_cut([0.1, 0.2], [0.3, 0.4], precision=0.9)
    assert never.threshold <= 0.1


@pytest.fixture(scope="module")
def found() -> calibration.Calibration:
    return calibrate(load_clip("nano"), SceneSample(count=8, seed=5))


def test_right_pairs_of_scenes_pass_and_wrong_ones_do_not(found: calibration.Calibration) -> None:
    """On the scenes themselves, by nano's own CLIP."""
    assert found.passing["right"] > 2 * found.passing[calibration.OTHER_EDIT]
    assert found.passing[calibration.UNEDITED] == 0.0
    assert all(cut.balanced_accuracy > 0.7 for cut in found.cuts.values())


def test_it_computes_with_as_many_threads_as_pairs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosines differ in their last bits with the number of threads."""
    clip, seen = load_clip("nano"), set()

    def images(pictures: list[Image.Image]) -> torch.Tensor:
        seen.add(torch.get_num_threads())
        return clip_images(pictures)

    clip_images = clip.images
    monkeypatch.setattr(clip, "images", images)
    torch.set_num_threads(before := THREADS + 1)
    try:
        calibrate(clip, SceneSample(count=2, seed=5))
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(1)
    assert seen == {THREADS}


def test_an_unedited_picture_has_no_direction(found: calibration.Calibration) -> None:
    assert len(found.right["clip_direction"]) == 8
    assert len(found.wrong["clip_direction"]) == 8 * 7
    assert sum(abs(score) < 1e-3 for score in found.wrong["clip_direction"]) >= 8


def test_what_is_printed_is_a_recipe(found: calibration.Calibration, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(calibration.as_yaml(found) + "\n")
    assert read_block(path, "pairs", PairsSettings).thresholds == found.thresholds
    assert "exact pairs pass" in calibration.card_line(found)


def test_the_plot_is_one_whole_svg(found: calibration.Calibration) -> None:
    from xml.etree import ElementTree

    root = ElementTree.fromstring(calibration.draw(found))
    assert root.tag.endswith("svg")
    assert sum(element.get("class") == "zero" for element in root.iter()) == 4


def test_the_command_writes_and_prints(
    found: calibration.Calibration,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def remember(clip: object, scenes: SceneSample, precision: float | None) -> object:
        asked.append((scenes, precision))
        return found

    monkeypatch.setattr(calibration, "calibrate", remember)
    words = ["calibrate", "-o", str(tmp_path), "--scenes", "20", "--precision", "0.9"]
    assert main(words) == 0
    assert asked == [(SceneSample(count=20), 0.9)]
    assert capsys.readouterr().out.startswith("pairs:\n  thresholds:\n")
    written = json.loads((tmp_path / "calibration.json").read_text())
    assert written["thresholds"] == found.thresholds.model_dump()
    assert (tmp_path / "calibration.svg").is_file()
