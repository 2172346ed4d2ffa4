"""Inside a loop nothing waits for the device and nothing is copied to it, in any number format.

Everything runs on a pretended accelerator (see `accelerator`). Where a result is read, it is
read once, when the loop has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerator import DEVICE, Accelerator, crossings, move, value
from fakes import build_tiny_clip
from PIL import Image

from overpaint.editing import Editor
from overpaint.families import load_editor
from overpaint.models.clip import load_clip
from overpaint.pairs.settings import PairsSettings
from overpaint.rows import Triplet
from tiny import NATIVE_SIZE, build_tiny_pipeline, tiny_text_to_image

STEPS = 4
FORMATS = [torch.float32, torch.float16, torch.bfloat16]
TRIPLETS = [
    Triplet(original_prompt=before, edit_prompt=instruction, edited_prompt=after)
    for before, instruction, after in [
        ("a cat and a tree", "turn the cat into a dog", "a dog and a tree"),
        ("the house", "make it night", "the house at night"),
    ]
]
SEEDS = [11, 12]


@pytest.fixture(autouse=True)
def _autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch knows no autocast of `meta`, which is only ever switched off here."""
    own = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda kind, **o: own(kind.replace("meta", "cpu"), **o))


@pytest.fixture
def device() -> Iterator[Accelerator]:
    with Accelerator() as device:
        yield device


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("editor"))


def picture(size: int = NATIVE_SIZE) -> Image.Image:
    steps = np.linspace(0, 255, size * size * 3).reshape(size, size, 3)
    return Image.fromarray(steps.astype(np.uint8))


def moved(model: Any) -> None:
    controlnet = getattr(model, "controlnet", None)
    for part in (model.unet, model.vae, model.text_encoder, controlnet):
        if part is not None:
            move(part)


def assert_still(calls: list[tuple[int, int]], steps: int, writes: int = 0) -> None:
    """Between the first and the last call of each loop nothing is read and so much written."""
    assert calls
    assert len(calls) % steps == 0
    for start in range(0, len(calls), steps):
        loop = calls[start : start + steps]
        assert [reads for reads, _ in loop] == [loop[0][0]] * steps
        assert [written for _, written in loop] == [loop[0][1] + writes * i for i in range(steps)]


def far(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures, of 255."""
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("scales", [(3.0, 1.5), (2.0, 1.0)], ids=["three branches", "two"])
def test_an_edit_reads_its_pictures_once(
    folder: Path, dtype: torch.dtype, scales: tuple[float, float]
) -> None:
    model = load_editor(folder, device="cpu", dtype=dtype)
    options: dict[str, Any] = {"num": 2, "num_inference_steps": STEPS, "resolution": NATIVE_SIZE}
    options |= {"guidance_scale": scales[0], "image_guidance_scale": scales[1]}
    wanted = Editor(model).edit_each(picture(), ["make it night"], **options)
    with Accelerator() as device, crossings(model.unet, device) as calls:
        moved(model)
        edits = Editor(model).edit_each(picture(), ["make it night"], **options)
    assert_still(calls, STEPS)
    assert len(device.reads) - calls[-1][0] <= 2
    for edit, here in zip(edits, wanted, strict=True):
        assert far(edit.image, here.image) <= (2 if dtype == torch.float32 else 40)


@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("DDIMScheduler", 0),
        ("PNDMScheduler", 0),
        ("EulerDiscreteScheduler", 0),
        ("DPMSolverMultistepScheduler", 0),
        ("EulerAncestralDiscreteScheduler", 1),  # its noise at each step is drawn on the CPU
    ],
)
def test_no_scheduler_makes_an_edit_wait(folder: Path, name: str, writes: int) -> None:
    import diffusers

    model = load_editor(folder, device="cpu")
    model.scheduler = getattr(diffusers, name).from_config(model.scheduler.config)
    with Accelerator() as device, crossings(model.unet, device) as calls:
        moved(model)
        Editor(model).edit(picture(), "make it night", num_inference_steps=STEPS)
    assert_still(calls, len(calls), writes)


def settings(**changes: object) -> PairsSettings:
    values = {"num_inference_steps": STEPS, "guidance_scale": 4.0, "batch_size": 4, "keep": 1}
    return PairsSettings(**{**values, **changes})


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
def test_controlnet_candidates_are_drawn_without_a_wait(tmp_path: Path, dtype: torch.dtype) -> None:
    from overpaint.pairs.controlnet import ControlNetMethod

    model = tiny_text_to_image(tmp_path)
    for part in (model.unet, model.vae, model.text_encoder, model.controlnet):
        part.to(dtype)
    method = ControlNetMethod(model, settings(controlnet_conditioning_scales=[0.5, 1.5]))
    with Accelerator() as device, crossings(model.unet, device) as calls:
        moved(model)
        sources = method.draw_sources(TRIPLETS, SEEDS)
        assert len(device.reads) <= 2
        candidates = method.draw_candidates(TRIPLETS, SEEDS, sources)
        edges = [read for read in device.reads if read.startswith("canny.py")]
        assert len(edges) <= 6  # for all hints of a batch, before the first step
        assert len(device.reads) - len(edges) <= 4
    assert_still(calls, STEPS)
    assert [len(row) for row in candidates] == [2, 2]


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
def test_prompt_to_prompt_candidates_are_drawn_without_a_wait(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    from overpaint.pairs.prompt_to_prompt import PromptToPromptMethod

    model = tiny_text_to_image(tmp_path)
    for part in (model.unet, model.vae, model.text_encoder):
        part.to(dtype)
    method = PromptToPromptMethod(model, settings(method="prompt-to-prompt", candidates=2))
    with Accelerator() as device, crossings(model.unet, device) as calls:
        moved(model)
        candidates = method.draw_candidates(TRIPLETS, SEEDS, None)
    assert_still(calls, STEPS)
    assert len(device.reads) - calls[-1][0] <= 2
    assert [len(row) for row in candidates] == [2, 2]


def test_clip_reads_all_pictures_and_all_texts_once(tmp_path: Path, device: Accelerator) -> None:
    build_tiny_clip(tmp_path)
    clip = load_clip(tmp_path)
    pictures, texts = [picture()] * 70, ["a cat", "a house at night"] * 40  # two batches of each
    wanted = clip.images(pictures), clip.texts(texts)
    move(clip.model)
    assert clip.model.device == DEVICE
    # transformers looks at the mask of every batch of texts, twice.
    for ask, items, here, own in (
        (clip.images, pictures, wanted[0], 0),
        (clip.texts, texts, wanted[1], 4),
    ):
        device.reads.clear()
        found = ask(items)
        assert len(device.reads) <= 1 + own
        assert found.device.type == "cpu"
        assert torch.allclose(value(found), here, atol=1e-5)
