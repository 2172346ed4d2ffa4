"""Parts that do not fit each other, or our method, are refused in words when they are loaded."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from overpaint.errors import UserError
from overpaint.families import load_editor
from overpaint.models import load_model, load_text_to_image
from overpaint.training.editor import load_base
from overpaint.training.settings import TrainSettings
from tiny import LATENT_CHANNELS, MAX_TOKENS, build_tiny_pipeline, tiny_components, tiny_controlnet

C = LATENT_CHANNELS


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("model") / "tiny", in_channels=C)


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    """A folder that draws, which a test may spoil."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


@cache
def plain():  # type: ignore[no-untyped-def]
    return tiny_components(in_channels=C)


def another_unet(folder: Path, **changes: object) -> None:
    config = dict(plain()[0].config)
    del config["_use_default_values"]
    UNet2DConditionModel.from_config({**config, **changes}).save_pretrained(folder / "unet")


def another_vae(folder: Path, **changes: object) -> None:
    config = dict(plain()[1].config)
    del config["_use_default_values"]
    AutoencoderKL.from_config({**config, **changes}).save_pretrained(folder / "vae")


def another_tower(folder: Path, **changes: object) -> None:
    config = plain()[2].config.to_dict()
    CLIPTextModel(CLIPTextConfig(**{**config, **changes})).save_pretrained(folder / "text_encoder")


SDXL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 80,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("another", "changes", "says"),
    [
        (another_unet, SDXL, r"asks for added conditioning \(addition_embed_type"),
        (another_unet, {"addition_embed_type": "text"}, "asks for added conditioning"),
        (another_unet, {"class_embed_type": "timestep"}, r"\(class_embed_type is 'timestep'"),
        (another_unet, {"num_class_embeds": 7}, r"\(num_class_embeds is 7"),
        (another_unet, {"time_cond_proj_dim": 16}, r"\(time_cond_proj_dim is 16; distilled"),
        (another_unet, {"encoder_hid_dim": 32, "encoder_hid_dim_type": "text_proj"}, "added"),
        (another_unet, {"cross_attention_dim": 48}, "reads words of width 48, its text encoder"),
        (another_unet, {"out_channels": 4}, "gives 4 channels, the latents of its autoencoder"),
        (another_vae, {"latent_channels": 4}, "gives 8 channels, .* its autoencoder have 4"),
        (another_vae, {"shift_factor": 0.1}, r"shifts its latents \(shift_factor\)"),
        (another_vae, {"scaling_factor": 0}, "has a scaling_factor of 0"),
        (another_vae, {"in_channels": 4}, "three channels"),
        (another_tower, {"hidden_size": 16}, "reads words of width 32, its text encoder gives 16"),
        (another_tower, {"vocab_size": 300}, "tokens, its text encoder knows 300"),
    ],
)
def test_parts_that_do_not_fit(copy, another, changes, says):
    another(copy, **changes)
    with pytest.raises(UserError, match=says):
        load_model(copy, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "says", "advice"),
    [
        (C, "it is a text-to-image model", "train an editor from it with `overpaint train`"),
        (2 * C + 1, "it is an inpainting model", "train one from a text-to-image model"),
        (C + 1, "also shown depths", "train one from a text-to-image model"),
        (C + 3, "another kind of model", "train one from a text-to-image model"),
    ],
)
def test_what_cannot_edit_is_told_what_it_is_and_what_to_do(copy, channels, says, advice):
    another_unet(copy, in_channels=channels)
    with pytest.raises(UserError, match=f"{says}.*; .*{advice}"):
        load_editor(copy, device="cpu")
    settings = TrainSettings(resolution=32)
    if channels == C:  # and the advice works
        base = load_base(copy, settings, torch.device("cpu"))
        assert base.unet.config.in_channels == 2 * C
        return
    for load in (lambda: load_text_to_image(copy, device="cpu"),
                 lambda: load_base(copy, settings, torch.device("cpu"))):  # fmt: skip
        with pytest.raises(UserError, match=f"{says}.*; give a text-to-image model"):
            load()


@pytest.mark.parametrize("most", [None, 1e30, 5000, MAX_TOKENS, 8])
def test_a_tokenizer_goes_no_further_than_the_tower(copy, most):
    """None: its file names no maximum, which transformers reads as 1e30."""
    path = copy / "tokenizer/tokenizer_config.json"
    table = json.loads(path.read_text())
    table.pop("model_max_length")
    path.write_text(json.dumps(table if most is None else table | {"model_max_length": most}))
    model = load_model(copy, device="cpu")
    tower = model.text_encoder.config.max_position_embeddings
    assert model.tokenizer.model_max_length == min(tower, most or tower)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("prediction_type", "words", "has prediction_type 'words'"),
        ("num_train_timesteps", 0, "the scheduler of .* cannot be loaded"),
        ("num_train_timesteps", 10**9, "num_train_timesteps = 1e\\+09"),
    ],
)
def test_a_scheduler_that_says_nothing_known(copy, key, value, says):
    path = copy / "scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match=says):
        load_model(copy, device="cpu")


def test_a_controlnet_with_added_conditioning_is_refused(copy, tmp_path):
    tiny_controlnet(**SDXL).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match=r"its ControlNet asks for added conditioning"):
        load_text_to_image(copy, tmp_path / "other", device="cpu")
