"""A Stable Diffusion 1.5 of few channels, in parts and as a file in the original layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from original_layout import original_text_name, original_unet_name, original_vae_name
from transformers import CLIPTextConfig, CLIPTextModel

from overpaint.models.single_file import SD15

LEVELS = 2
LAYERS = 1


@pytest.fixture(scope="session")
def narrow_configs(tmp_path_factory) -> Path:
    """Configurations of SD 1.5's kind with few levels, layers and channels."""
    folder = tmp_path_factory.mktemp("configs")
    narrow = {
        "unet": {"block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": LAYERS}
        | {"attention_head_dim": 2, "cross_attention_dim": 16}
        | {"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"]}
        | {"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]},
        "vae": {"block_out_channels": [4, 8], "norm_num_groups": 4, "layers_per_block": 1}
        | {"down_block_types": ["DownEncoderBlock2D"] * LEVELS}
        | {"up_block_types": ["UpDecoderBlock2D"] * LEVELS},
        "text_encoder": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
        | {"num_attention_heads": 2},
    }
    for part, changes in narrow.items():
        config = json.loads((SD15 / part / "config.json").read_text()) | changes
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(config))
    DDIMScheduler.from_pretrained(SD15 / "scheduler").save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture(scope="session")
def narrow_parts(narrow_configs):
    torch.manual_seed(0)
    return (
        UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(narrow_configs / "unet")),
        AutoencoderKL.from_config(AutoencoderKL.load_config(narrow_configs / "vae")),
        CLIPTextModel(CLIPTextConfig.from_pretrained(narrow_configs / "text_encoder")),
    )


@pytest.fixture
def narrow_tensors(narrow_parts) -> dict[str, torch.Tensor]:
    """A checkpoint as the original code wrote it, the autoencoder's attention as convolutions."""
    unet, vae, text = narrow_parts
    table = {original_unet_name(k, LAYERS): v for k, v in unet.state_dict().items()}
    for key, value in vae.state_dict().items():
        name = original_vae_name(key, LEVELS)
        conv = ".attn_1." in name and value.ndim == 2
        table[name] = value[:, :, None, None] if conv else value
    table |= {original_text_name(k): v for k, v in text.state_dict().items()}
    table["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)
    return {k: v.contiguous().clone() for k, v in table.items()}
