"""Single files in Stable Diffusion's original layout: names, and a whole one read back."""

from __future__ import annotations

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from original_layout import (
    ema_name,
    original_unet_name,
    original_vae_name,
)
from safetensors.torch import save_file

from overpaint.errors import UserError
from overpaint.models.names import find_model
from overpaint.models.single_file import SD15, clip_tokenizer, load_single_file


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


def test_a_whole_file_is_read_back_exactly(tmp_path, narrow_configs, narrow_parts, narrow_tensors):
    path = tmp_path / "model.safetensors"
    save_file(narrow_tensors, path)
    model = load_single_file(path, torch.float32, narrow_configs)
    for loaded, original in zip(
        (model.unet, model.vae, model.text_encoder), narrow_parts, strict=True
    ):
        for key, value in original.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value), key
        assert not any(p.is_meta for p in [*loaded.parameters(), *loaded.buffers()])
    assert model.unet.config.in_channels == 8


def test_the_averaged_unet_is_taken_where_the_file_has_one(
    tmp_path, narrow_configs, narrow_parts, narrow_tensors
):
    unet = narrow_parts[0].state_dict()
    narrow_tensors |= {ema_name(original_unet_name(k, 1)): v + 1 for k, v in unet.items()}
    save_file(narrow_tensors, tmp_path / "model.safetensors")
    model = load_single_file(tmp_path / "model.safetensors", torch.float32, narrow_configs)
    assert torch.equal(model.unet.conv_in.bias, unet["conv_in.bias"] + 1)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda t: t.pop("model.diffusion_model.out.2.bias"), "conv_out.bias is missing"),
        (lambda t: t.pop("model.diffusion_model.input_blocks.0.0.weight"), "it has no U-Net"),
        (lambda t: t.update({"model.diffusion_model.out.2.bias": torch.zeros(9)}), r"\(9,\)"),
    ],
)
def test_an_incomplete_file_is_refused(tmp_path, narrow_configs, narrow_tensors, spoil, says):
    spoil(narrow_tensors)
    save_file(narrow_tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=says):
        load_single_file(tmp_path / "model.safetensors", torch.float32, narrow_configs)


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


def test_the_oldest_names_of_the_text_tower_are_read(
    tmp_path, narrow_configs, narrow_parts, narrow_tensors, capfd
):
    """Without `text_model.` in front, and with the numbers of positions among the weights."""
    path = tmp_path / "model.safetensors"
    old = {name.replace("transformer.text_model.", "transformer."): tensor
           for name, tensor in narrow_tensors.items()}  # fmt: skip
    assert old.keys() != narrow_tensors.keys()
    save_file(old, path)
    model = load_single_file(path, torch.float32, narrow_configs)
    for name, value in narrow_parts[2].state_dict().items():
        assert torch.equal(model.text_encoder.state_dict()[name], value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("conditioner.embedders.0.transformer.text_model.final_layer_norm.bias", "SDXL"),
        ("cond_stage_model.model.ln_final.bias", "Stable Diffusion 2.x"),
        ("lora_unet_down_blocks_0_attentions_0_proj_in.alpha", "a LoRA"),
        ("control_model.input_hint_block.0.bias", "a ControlNet"),
    ],
)
def test_a_file_of_another_layout_is_called_by_its_name(tmp_path, name, kind):
    save_file({name: torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=f"is {kind} in its original layout"):
        load_single_file(tmp_path / "model.safetensors", torch.float32)
