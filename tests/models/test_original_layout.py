"""Single files in Stable Diffusion's original layout: names, and a whole one read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from overpaint.errors import UserError
from overpaint.models.names import find_model
from overpaint.models.original_layout import (
    ema_name,
    original_text_name,
    original_unet_name,
    original_vae_name,
)
from overpaint.models.single_file import SD15, clip_tokenizer, load_single_file


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> Path:
    """Configurations of SD 1.5's shape with few channels."""
    folder = tmp_path_factory.mktemp("configs")
    narrow = {
        "unet": {"block_out_channels": [8, 8, 16, 16], "norm_num_groups": 4}
        | {"attention_head_dim": 2, "cross_attention_dim": 16},
        "vae": {"block_out_channels": [4, 4, 8, 8], "norm_num_groups": 4},
        "text_encoder": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
        | {"num_attention_heads": 2},
    }
    for part, changes in narrow.items():
        config = json.loads((SD15 / part / "config.json").read_text()) | changes
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(config))
    DDIMScheduler.from_pretrained(SD15 / "scheduler").save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture(scope="module")
def parts(configs):
    torch.manual_seed(0)
    return (
        UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(configs / "unet")),
        AutoencoderKL.from_config(AutoencoderKL.load_config(configs / "vae")),
        CLIPTextModel(CLIPTextConfig.from_pretrained(configs / "text_encoder")),
    )


@pytest.fixture
def tensors(parts) -> dict[str, torch.Tensor]:
    """A checkpoint as the original code wrote it, the autoencoder's attention as convolutions."""
    unet, vae, text = parts
    table = {original_unet_name(k): v for k, v in unet.state_dict().items()}
    for key, value in vae.state_dict().items():
        name = original_vae_name(key)
        conv = ".attn_1." in name and value.ndim == 2
        table[name] = value[:, :, None, None] if conv else value
    table |= {original_text_name(k): v for k, v in text.state_dict().items()}
    table["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)
    return {k: v.contiguous().clone() for k, v in table.items()}


def test_names_agree_with_the_conversion_of_diffusers():
    from diffusers.loaders.single_file_utils import (
        convert_ldm_unet_checkpoint,
        convert_ldm_vae_checkpoint,
    )

    with init_empty_weights():
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(SD15 / "unet"))
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(SD15 / "vae"))
    for model, rename, convert in (
        (unet, original_unet_name, convert_ldm_unet_checkpoint),
        (vae, original_vae_name, convert_ldm_vae_checkpoint),
    ):
        weights = model.state_dict()
        original = {rename(key): value for key, value in weights.items()}
        assert len(original) == len(weights)
        back = convert(dict(original), model.config)
        assert back.keys() == weights.keys()
        assert all(back[key] is weights[key] for key in weights)


def test_a_whole_file_is_read_back_exactly(tmp_path, configs, parts, tensors):
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    model = load_single_file(path, torch.float32, configs)
    for loaded, original in zip((model.unet, model.vae, model.text_encoder), parts, strict=True):
        for key, value in original.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value), key
        assert not any(p.is_meta for p in [*loaded.parameters(), *loaded.buffers()])
    assert model.unet.config.in_channels == 8


def test_the_averaged_unet_is_taken_where_the_file_has_one(tmp_path, configs, parts, tensors):
    unet = parts[0].state_dict()
    tensors |= {ema_name(original_unet_name(k)): v + 1 for k, v in unet.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    model = load_single_file(tmp_path / "model.safetensors", torch.float32, configs)
    assert torch.equal(model.unet.conv_in.bias, unet["conv_in.bias"] + 1)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda t: t.pop("model.diffusion_model.out.2.bias"), "out.2.bias is missing"),
        (lambda t: t.pop("model.diffusion_model.input_blocks.0.0.weight"), "it has no U-Net"),
        (lambda t: t.update({"model.diffusion_model.out.2.bias": torch.zeros(9)}), r"\(9,\)"),
    ],
)
def test_an_incomplete_file_is_refused(tmp_path, configs, tensors, spoil, says):
    spoil(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=says):
        load_single_file(tmp_path / "model.safetensors", torch.float32, configs)


def test_a_file_that_only_claims_to_be_safetensors_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"PK\x03\x04 not what the name says")
    assert find_model(path).kind == "file"
    with pytest.raises(UserError, match="no whole safetensors file"):
        load_single_file(path, torch.float32)


def test_clip_tokenizer_has_the_ids_of_openai():
    tokenizer = clip_tokenizer()
    assert len(tokenizer) == 49408
    ids = tokenizer("a photo of a cat").input_ids
    assert ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer.pad_token_id == 49407
    assert tokenizer.decode(tokenizer("Größe 7!").input_ids[1:-1]) == "größe 7 !"
