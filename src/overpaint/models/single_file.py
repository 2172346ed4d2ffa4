"""Single-file checkpoints in Stable Diffusion 1.x's original layout, read without the hub.

The configurations and CLIP's vocabulary, which such a file does not carry, lie in `sd15/`
in this package.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.errors import UserError
from overpaint.models.components import EditingModel, broken_model
from overpaint.models.original_layout import (
    ema_name,
    original_text_name,
    original_unet_name,
    original_vae_name,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import CLIPTokenizer

SD15 = Path(__file__).parent / "sd15"
_CONV_IN = original_unet_name("conv_in.weight")


def load_single_file(path: Path, dtype: torch.dtype, configs: Path = SD15) -> EditingModel:
    """Load a U-Net, autoencoder and text tower from one .safetensors file, on the CPU.

    Where the file also keeps the averaged (EMA) U-Net, that one is taken, as the original
    InstructPix2Pix code does.

    Args:
        path: the file.
        dtype: of the loaded weights.
        configs: a folder with `unet/config.json`, `vae/config.json`, `text_encoder/config.json`
            and `scheduler/scheduler_config.json`; the number of input channels is the file's.

    Raises:
        UserError: the file is broken or of another layout (SD 2.x, SDXL, LoRA, ...).
    """
    from accelerate import init_empty_weights
    from diffusers import DDIMScheduler
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    tensors = _read_tensors(path)
    unet_config = UNet2DConditionModel.load_config(configs / "unet")
    unet_config["in_channels"] = tensors[_CONV_IN].shape[1]
    with init_empty_weights():
        unet = UNet2DConditionModel.from_config(unet_config)
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(configs / "vae"))
        text_encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(configs / "text_encoder"))
    averaged = ema_name(_CONV_IN) in tensors
    unet_name = _averaged_unet_name if averaged else original_unet_name
    _fill(unet, tensors, unet_name, dtype, path, "U-Net")
    _fill(vae, tensors, original_vae_name, dtype, path, "autoencoder")
    _fill(text_encoder, tensors, original_text_name, dtype, path, "text encoder")
    return EditingModel(
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=clip_tokenizer(),
        scheduler=DDIMScheduler.from_pretrained(configs / "scheduler"),
    )


def clip_tokenizer() -> CLIPTokenizer:
    """The tokenizer of OpenAI's CLIP, which every Stable Diffusion 1.x uses.

    Its vocabulary follows from the list of merges: the bytes, the bytes that end a word, the
    merges in order, and two marks.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    text = gzip.decompress((SD15 / "clip_merges.txt.gz").read_bytes()).decode("utf-8")
    merges = [(left, right) for left, right in (line.split(" ") for line in text.splitlines())]
    letters = sorted(ByteLevel.alphabet())
    words = letters + [letter + "</w>" for letter in letters]
    words += [left + right for left, right in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise broken_model(path, "content", f"no whole safetensors file, {error}") from None
    starts = {"U-Net": _CONV_IN, "autoencoder": original_vae_name("encoder.conv_in.weight")}
    starts["text encoder"] = original_text_name("embeddings.token_embedding.weight")
    for part, name in starts.items():
        if name not in tensors:
            raise UserError(
                f"{path} is no whole Stable Diffusion 1.x checkpoint in the original layout "
                f"(it has no {part}, {name}): take the model's diffusers folder instead."
            )
    return tensors


def _averaged_unet_name(name: str) -> str:
    return ema_name(original_unet_name(name))


def _fill(
    model: Any,
    tensors: dict[str, Tensor],
    original_name: Callable[[str], str],
    dtype: torch.dtype,
    path: Path,
    part: str,
) -> None:
    """Put the file's tensors into an empty model, every one of them, shapes checked."""
    weights = {}
    for name, empty in model.state_dict().items():
        tensor = tensors.get(original_name(name))
        if tensor is None:
            raise broken_model(path, part, f"{original_name(name)} is missing")
        if tensor.ndim == empty.ndim + 2 and tensor.shape[2:].numel() == 1:
            tensor = tensor.flatten(1)  # the autoencoder's attention was a 1x1 convolution
        if tensor.shape != empty.shape:
            shape, wanted = tuple(tensor.shape), tuple(empty.shape)
            raise broken_model(path, part, f"{original_name(name)} is {shape}, not {wanted}")
        weights[name] = tensor.to(dtype)
    model.load_state_dict(weights, assign=True)
