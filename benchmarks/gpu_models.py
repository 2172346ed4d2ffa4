"""Models of random weights for `gpu.sh`: the shapes of Stable Diffusion 1.5, CLIP L/14 and Gemma 2.

Stock classes from the configurations that the package carries. `smoke` makes every network narrow
and shallow, with the same number of levels and the same vocabulary, so that a CPU runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from overpaint.models import save_pipeline
from overpaint.models.quiet import quiet_libraries
from overpaint.models.single_file import SD15, clip_tokenizer

Size = Literal["full", "smoke"]

_WIDTH = 32
_NARROW: dict[str, dict[str, Any]] = {
    "unet": {
        "block_out_channels": [_WIDTH] * 4, "layers_per_block": 1, "cross_attention_dim": _WIDTH,
        "attention_head_dim": 2, "norm_num_groups": 8, "sample_size": 8,
    },
    "vae": {
        "block_out_channels": [16] * 4, "layers_per_block": 1, "norm_num_groups": 8,
        "sample_size": 64,
    },
    "text_encoder": {
        "hidden_size": _WIDTH, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "projection_dim": _WIDTH,
    },
    "clip": {"image_size": 32, "patch_size": 8},
}  # fmt: skip

CLIP_L14 = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "image_size": 224, "patch_size": 14, "projection_dim": 768,
}  # fmt: skip

GEMMA_2B = {
    "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256_000,
}  # fmt: skip
GEMMA_SMOKE = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 1024,
}  # fmt: skip


def frozen_parts(size: Size, dtype: torch.dtype) -> dict[str, Any]:
    """Autoencoder, text tower, tokenizer and scheduler of Stable Diffusion 1.5's shape, by name."""
    from diffusers import AutoencoderKL, DDIMScheduler
    from transformers import CLIPTextConfig, CLIPTextModel

    text = CLIPTextConfig.from_pretrained(SD15 / "text_encoder", **_changes("text_encoder", size))
    return {
        "vae": AutoencoderKL.from_config(_config(AutoencoderKL, "vae", size)).to(dtype),
        "text_encoder": CLIPTextModel(text).to(dtype),
        "tokenizer": clip_tokenizer(),
        "scheduler": DDIMScheduler.from_pretrained(SD15 / "scheduler"),
    }


def unet(size: Size, dtype: torch.dtype, channels: int) -> Any:
    """A U-Net of that shape that takes so many channels: 8 to edit, 4 to draw."""
    from diffusers import UNet2DConditionModel

    shape = {**_config(UNet2DConditionModel, "unet", size), "in_channels": channels}
    return UNet2DConditionModel.from_config(shape).to(dtype)


def write_pipelines(folder: Path, size: Size, device: str) -> int:
    """`editor/` and `drawer/` (with its `controlnet/`) in half precision; the parameters of one."""
    from diffusers import ControlNetModel

    torch.manual_seed(0)
    half = torch.float16
    with quiet_libraries(), torch.device(device):
        parts = frozen_parts(size, half)
        for name, channels in (("editor", 8), ("drawer", 4)):
            network = unet(size, half, channels)
            save_pipeline(folder / name, unet=network, **parts)
        controlnet = ControlNetModel.from_unet(network).to(half)
        controlnet.save_pretrained(folder / "drawer" / "controlnet")
    return sum(p.numel() for p in network.parameters())


def write_clip(folder: Path, size: Size, device: str) -> int:
    """A CLIP of L/14's shape with its tokenizer; the number of its parameters."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig

    torch.manual_seed(0)
    small = size == "smoke"
    vision = {**CLIP_L14, **(_NARROW["text_encoder"] | _NARROW["clip"] if small else {})}
    text = CLIPTextConfig.from_pretrained(SD15 / "text_encoder", **_changes("text_encoder", size))
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision, projection_dim=vision["projection_dim"]
    )
    with torch.device(device):
        clip = CLIPModel(config)
    clip.save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    return sum(p.numel() for p in clip.parameters())


def write_language_model(folder: Path, size: Size, device: str) -> int:
    """A Gemma 2 of 2B's shape, with a small tokenizer trained on the spot."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    ids = {f"{n}_token_id": getattr(tokenizer, f"{n}_token_id") for n in ("pad", "bos", "eos")}
    config = Gemma2Config(**(GEMMA_2B if size == "full" else GEMMA_SMOKE), **ids)
    with torch.device(device):
        model = Gemma2ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = decoders.ByteLevel()
    learner.train_from_iterator(
        ["a dog on the beach\n##\nmake the dog a cat\n%%\na cat on the beach\nEND"] * 4,
        trainers.BpeTrainer(
            vocab_size=400,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<pad>", "<bos>", "<eos>"],
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=learner, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )


def _config(kind: Any, part: str, size: Size) -> dict[str, Any]:
    return {**kind.load_config(SD15 / part), **_changes(part, size)}


def _changes(part: str, size: Size) -> dict[str, Any]:
    return _NARROW[part] if size == "smoke" else {}
