"""The `pairs:` block: what it fills in by itself, and what it refuses by name."""

from __future__ import annotations

import pytest

from overpaint.errors import UserError
from overpaint.pairs.settings import NANO_THRESHOLDS, PairsSettings, Thresholds
from overpaint.recipe import read_block


def read(*overrides: str) -> PairsSettings:
    return read_block(None, "pairs", PairsSettings, overrides)


def test_the_defaults_are_the_mission_s() -> None:
    block = read("model=some/model")
    assert block.controlnet_conditioning_scales == (0.15, 0.18, 0.2, 0.25, 0.3)
    assert (block.canny_low, block.canny_high, block.num_inference_steps) == (100, 200, 40)
    assert (block.keep, block.per_row, block.guidance_scale) == (1, 5, (7.5, 7.5))
    assert block.thresholds == Thresholds()


def test_prompt_to_prompt_has_the_paper_s() -> None:
    block = read("model=some/model", "method=prompt-to-prompt")
    assert (block.keep, block.per_row, block.guidance_scale) == (4, 100, (7.5, 15.0))
    assert block.attention_fraction == (0.1, 0.9)
    few = read("method=prompt-to-prompt", "candidates=2", "guidance_scale=3")
    assert (few.keep, few.per_row, few.guidance_scale) == (2, 2, (3.0, 3.0))


def test_nano_has_a_guidance_of_its_own() -> None:
    assert read().guidance_scale == (2.0, 2.0)
    assert read("method=prompt-to-prompt").guidance_scale == (2.0, 2.0)
    assert read("guidance_scale=[1, 3]").guidance_scale == (1.0, 3.0)


def test_nano_s_clip_has_thresholds_of_its_own() -> None:
    assert read().thresholds == Thresholds(**NANO_THRESHOLDS)
    assert read("model=some/model", "clip=nano").thresholds == Thresholds(**NANO_THRESHOLDS)
    assert read("clip=some/clip").thresholds == Thresholds()
    asked = read("thresholds.clip_image=0.5", "thresholds.clip_edited=null").thresholds
    wanted = {**NANO_THRESHOLDS, "clip_image": 0.5, "clip_edited": None}
    assert asked == Thresholds(**wanted)


def test_settings_survive_being_written_down() -> None:
    for block in (read(), read("method=prompt-to-prompt"), read("clip=some/clip", "seed=7")):
        assert PairsSettings(**block.model_dump(mode="json")) == block


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("method=p2p", "pairs.method"),
        ("thresholds.clip_imag=1", "did you mean clip_image?"),
        ("clip_direction=0.2", "did you mean thresholds.clip_direction?"),
        ("steps=3", "did you mean num_inference_steps?"),
        ("thresholds.clip_image=2", "pairs.thresholds.clip_image"),
        ("attention_fraction=[0.9, 0.1]", "low <= high"),
        ("guidance_scale=[1, 2, 3]", "pairs.guidance_scale"),
        ("controlnet_conditioning_scales=[]", "pairs.controlnet_conditioning_scales"),
        ("controlnet_conditioning_scales=[0.2, 0.2]", "stands twice"),
        ("canny_low=300", r"canny_low \(300\) must be below canny_high \(200\)"),
        ("keep=6", r"keep \(6\) is above the 5 candidates"),
        ("resolution=100", "pairs.resolution"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(override: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(override)
