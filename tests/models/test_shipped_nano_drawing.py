"""The shipped text-to-image parent and its ControlNet: they draw what they are told, where."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nano.caption_fidelity import caption_case, judge_by_clip, summarise
from overpaint.models.clip import load_clip
from overpaint.models.text_to_image import load_text_to_image
from overpaint.pairs.controlnet import ControlNetMethod
from overpaint.pairs.settings import PairsSettings
from overpaint.rows import Triplet
from overpaint.scenes.rendering import render

pytestmark = pytest.mark.slow

STEPS, CASES, UNCONTROLLED, CONTROLLED = 12, 24, 0.0, 0.8


@pytest.fixture(scope="module")
def method() -> ControlNetMethod:
    settings = PairsSettings(
        model="nano",
        num_inference_steps=STEPS,
        guidance_scale=2.0,
        controlnet_conditioning_scales=[UNCONTROLLED, CONTROLLED],
        batch_size=48,
    )
    return ControlNetMethod(load_text_to_image("nano", "nano", device="cpu"), settings)


def triplets_of(captions: list[str]) -> list[Triplet]:
    return [Triplet(original_prompt=t, edit_prompt="", edited_prompt=t) for t in captions]


def test_the_parent_draws_its_captions(method: ControlNetMethod) -> None:
    """A floor far above chance (1/32) and far below what benchmarks/caption_fidelity.py says."""
    cases = [caption_case(seed, "seen", "small") for seed in range(CASES)]
    pictures = method.draw_sources(
        triplets_of([case.right.caption for case in cases]), range(CASES)
    )
    clip = load_clip("nano", torch.device("cpu"))
    assert summarise(judge_by_clip(pictures, cases, clip))["all"].mean > 0.4


def test_the_controlnet_keeps_the_edges(method: ControlNetMethod) -> None:
    """Captions that name no places: by the edges of true renders, pictures come out near these."""
    cases = [caption_case(seed, "seen", "small", places_open=True) for seed in range(8)]
    sources = [render(case.right.scene, 64) for case in cases]
    rows = method.draw_candidates(triplets_of([c.right.caption for c in cases]), range(8), sources)
    errors: dict[float | None, list[float]] = {UNCONTROLLED: [], CONTROLLED: []}
    for source, row in zip(sources, rows, strict=True):
        for candidate in row:
            difference = candidate.edited.astype(float) - source
            errors[candidate.spec.conditioning_scale].append((difference**2).mean())
    assert np.mean(errors[CONTROLLED]) < 0.8 * np.mean(errors[UNCONTROLLED])
