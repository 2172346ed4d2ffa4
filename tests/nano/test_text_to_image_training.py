"""nano's parent and its ControlNet: stock pipelines come out, and they learn from captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from nano.assemble import assemble_base
from nano.autoencoder import AutoencoderRecipe, train_autoencoder
from nano.captioned import (
    Captioned,
    CaptionedLatents,
    Parts,
    draw_timesteps,
    load_parts,
)
from nano.clip import ClipRecipe, train_clip
from nano.controlnet import ControlNetRecipe, hint_of, train_controlnet
from nano.text_to_image import TextToImageRecipe, build_unet, train_text_to_image
from overpaint.digests import digest
from overpaint.errors import UserError
from overpaint.scenes.examples import is_held_out
from overpaint.training.loop import make_accelerator
from overpaint.training.micro_step import MicroStep
from overpaint.training.settings import LoopSettings

pytestmark = pytest.mark.slow

LOOP = LoopSettings(steps=2, batch_size=4, learning_rate=1e-2, seed=3, mixed_precision="no")
UNET = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}
RECIPE = TextToImageRecipe(scenes=16, unet=UNET, num_inference_steps=2, loop=LOOP)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    train_autoencoder(AutoencoderRecipe(loop=LOOP), folder / "autoencoder")
    train_clip(ClipRecipe(loop=LOOP, extra_scenes=2), folder / "clip")
    return assemble_base(folder / "autoencoder", folder / "clip", folder / "base")


@pytest.fixture(scope="module")
def parent(base: Path) -> Path:
    return train_text_to_image(RECIPE, base, base.parent / "parent", base.parent / "cache")


def captioned_latents(
    scenes: Captioned, parts: Parts, cache: Path, dropped: float
) -> CaptionedLatents:
    state = make_accelerator(LOOP)
    return CaptionedLatents.of(
        scenes, parts, cache, state, conditioning_dropout_prob=dropped, noisiest=0.3
    )


def test_the_parent_is_a_stock_text_to_image_pipeline(parent: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(parent, torch_dtype=torch.float32)
    assert pipeline.unet.config.in_channels == 8
    picture = pipeline("a cat on red", height=64, width=64, num_inference_steps=2).images[0]
    assert picture.size == (64, 64)


def test_a_rerun_changes_nothing_and_the_sheet_is_drawn(base: Path, parent: Path) -> None:
    before = digest(parent)
    train_text_to_image(RECIPE, base, parent, base.parent / "cache")
    assert digest(parent) == before
    assert (base.parent / "parent.training" / "sheets" / "step-0000002.png").is_file()


def test_the_controlnet_fits_its_parent(base: Path, parent: Path) -> None:
    recipe = ControlNetRecipe(scenes=16, conditioning_channels=(4, 8, 8), loop=LOOP)
    out = train_controlnet(recipe, parent, base.parent / "controlnet", base.parent / "cache")
    controlnet = ControlNetModel.from_pretrained(out, torch_dtype=torch.float32)
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(
        parent, controlnet=controlnet, torch_dtype=torch.float32
    )
    edges = torch.zeros(1, 64, 64)
    edges[:, 20:40, 30] = 255
    drawn = [
        pipeline(
            "a cat on red",
            image=hint_of(picture),
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(0),
            output_type="np",
        ).images[0]
        for picture in (edges, torch.zeros(1, 64, 64))
    ]
    assert np.abs(drawn[0] - drawn[1]).max() > 0  # the edges are seen


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `assemble` first"):
        train_text_to_image(RECIPE, tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match="train the text-to-image model first"):
        train_controlnet(ControlNetRecipe(loop=LOOP), tmp_path, tmp_path / "out")


def test_scenes_are_drawn_by_number_and_none_is_held_out() -> None:
    scenes = Captioned(count=100, world="small", size=64, edited=0.7, seed=1)
    drawn = [scenes.scene(number) for number in range(100)]
    assert drawn == [scenes.scene(number) for number in range(100)]
    assert len({caption for _, caption in drawn}) > 90
    assert not any(is_held_out(scene) for scene, _ in drawn)
    assert any(item.thing.role == "novel" for scene, _ in drawn for item in scene.items)


def test_captions_are_dropped_as_often_as_asked(base: Path, tmp_path: Path) -> None:
    parts = load_parts(base, torch.device("cpu"))
    scenes = Captioned(count=64, world="small", size=64, edited=0.7, seed=1)
    data = captioned_latents(scenes, parts, tmp_path, 0.25)
    batch = data.draw(MicroStep(0, 0, 1, 400, 5))
    null_text = data._encode(torch.tensor([64]), torch.device("cpu"))
    dropped = (batch.text == null_text).flatten(1).all(dim=1).float().mean()
    assert 0.17 < dropped < 0.33
    assert batch.noisy.shape == batch.wanted.shape == (400, 8, 16, 16)


def test_a_share_of_the_timesteps_is_of_the_noisiest() -> None:
    timesteps = draw_timesteps(MicroStep(0, 0, 1, 4000, 5), 1000, 0.35)
    assert int(timesteps.min()) >= 0
    assert int(timesteps.max()) == 999
    assert 0.40 < (timesteps >= 875).float().mean() < 0.46  # 0.35 + 0.65 / 8
    assert 0.07 < (timesteps < 125).float().mean() < 0.09  # 0.65 / 8


def test_the_last_timestep_is_noise_alone(base: Path) -> None:
    """Else the noise shows where things stand, and the caption is not asked."""
    scheduler = load_parts(base, torch.device("cpu")).scheduler
    assert scheduler.alphas_cumprod[-1] == 0
    scheduler.set_timesteps(20)
    assert scheduler.timesteps[0] == 999


def test_it_learns_what_a_caption_says(base: Path, tmp_path: Path) -> None:
    """On few scenes the loss falls below that of the best guess without a caption."""
    steps = LoopSettings(**{**LOOP.model_dump(), "steps": 60, "batch_size": 16})
    recipe = RECIPE.model_copy(update={"scenes": 4, "loop": steps})
    train_text_to_image(recipe, base, tmp_path / "out")
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "out" / "unet")
    parts = load_parts(base, torch.device("cpu"))
    scenes = Captioned(4, "small", 64, recipe.edited, 3)
    data = captioned_latents(scenes, parts, tmp_path, 0.0)
    batch = data.draw(MicroStep(0, 0, 1, 64, 5))
    fresh = build_unet(recipe, parts.vae, parts.text_encoder)

    def error(model: UNet2DConditionModel, text: torch.Tensor) -> float:
        with torch.no_grad():
            said = model(batch.noisy, batch.timesteps, text).sample
        return (said - batch.wanted).square().mean().item()

    assert error(unet, batch.text) < 0.8 * error(fresh, batch.text)
