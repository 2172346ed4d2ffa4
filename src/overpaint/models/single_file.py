"""Single-file checkpoints in Stable Diffusion 1.x's original layout, read without the hub.

diffusers renames the tensors and fills the networks. Before that, the names and shapes in the
file's header go through the same renaming, so that a tensor which is missing, misshapen or not used
is known by name: diffusers itself would say nothing of it. The configurations and CLIP's
vocabulary, which such a file does not carry, lie in `sd15/` in this package.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.errors import UserError
from overpaint.models.components import Components
from overpaint.models.folders import Header, cannot_load, read_header
from overpaint.models.loading import (
    build_empty,
    check_shapes,
    from_folder,
    guarded,
    load_original,
    load_tensors,
    report,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import CLIPTokenizer

SD15 = Path(__file__).parent / "sd15"

_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_TEXT, _AVERAGED = "cond_stage_model.transformer.", "model_ema."
_CONV_IN = f"{_UNET}input_blocks.0.0.weight"
_NOT_OURS = {  # beginnings of names that tell other layouts
    "conditioner.": "SDXL",
    "cond_stage_model.model.": "Stable Diffusion 2.x",
    "lora_": "a LoRA",
    "control_model.": "a ControlNet",
    "text_encoders.": "Stable Diffusion 3",
    "double_blocks.": "FLUX",
}


def load_single_file(path: Path, dtype: torch.dtype, configs: Path = SD15) -> Components:
    """Load a U-Net, autoencoder and text tower from one .safetensors file, on the CPU.

    Where the file also keeps the averaged (EMA) U-Net, that one is taken, as the original
    InstructPix2Pix code does.

    Args:
        path: the file.
        dtype: of the loaded weights.
        configs: a folder with `unet/config.json`, `vae/config.json`, `text_encoder/config.json`
            and `scheduler/scheduler_config.json`; the number of input channels is the file's.

    Raises:
        UserError: the file is broken, lacks a tensor, or is of another layout (SDXL, LoRA, ...).
    """
    from diffusers import DDIMScheduler
    from diffusers.loaders import single_file_utils
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from safetensors.torch import load_file
    from transformers.models.clip.modeling_clip import CLIPTextModel

    parts = {part: f"the {part} of {path}" for part in ("U-Net", "autoencoder", "text encoder")}
    headers = read_header(path, str(path))
    _check_layout(headers, path)
    takes = headers[_CONV_IN].shape[1]
    _check(
        UNet2DConditionModel,
        _unet_names(headers, parts["U-Net"]),
        single_file_utils.convert_ldm_unet_checkpoint,
        configs / "unet",
        parts["U-Net"],
        in_channels=takes,
    )
    _check(
        AutoencoderKL,
        {name: header for name, header in headers.items() if name.startswith(_VAE)},
        single_file_utils.convert_ldm_vae_checkpoint,
        configs / "vae",
        parts["autoencoder"],
    )
    tensors: dict[str, Tensor] = guarded(str(path), load_file, path)
    text = {_text_name(name): tensor for name, tensor in tensors.items() if name.startswith(_TEXT)}
    return Components(
        unet=load_original(
            UNet2DConditionModel,
            {n: t for n, t in tensors.items() if n.startswith((_UNET, _AVERAGED))},
            configs / "unet",
            parts["U-Net"],
            dtype=dtype,
            in_channels=takes,
        ),
        vae=load_original(
            AutoencoderKL,
            {n: t for n, t in tensors.items() if n.startswith(_VAE)},
            configs / "vae",
            parts["autoencoder"],
            dtype=dtype,
        ),
        text_encoder=load_tensors(
            CLIPTextModel, text, configs / "text_encoder", parts["text encoder"], dtype
        ),
        tokenizer=clip_tokenizer(),
        scheduler=from_folder(DDIMScheduler, configs / "scheduler"),
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


def _check_layout(headers: Mapping[str, Header], path: Path) -> None:
    """Refuse a file that is no whole checkpoint in this layout, saying what it is if we know."""
    for beginning, kind in _NOT_OURS.items():
        if any(name.startswith(beginning) for name in headers):
            raise UserError(
                f"{path} is {kind} in its original layout, and only Stable Diffusion 1.x is read "
                "from a single file: take the model's diffusers folder instead."
            )
    needed = {"U-Net": _CONV_IN, "autoencoder": _VAE, "text encoder": _TEXT}
    for part, beginning in needed.items():
        if not any(name.startswith(beginning) for name in headers):
            raise UserError(
                f"{path} is no whole Stable Diffusion 1.x checkpoint in the original layout "
                f"(it has no {part}, {beginning}): take the model's diffusers folder instead."
            )
    if len(headers[_CONV_IN].shape) != 4:
        raise cannot_load(f"the U-Net of {path}", f"{_CONV_IN} is {headers[_CONV_IN].shape}")


def _unet_names(headers: Mapping[str, Header], what: str) -> dict[str, Header]:
    """The tensors of the U-Net that is taken: where one is averaged, all must be.

    The original code kept the average under the same names without their dots.
    """
    plain = {name: header for name, header in headers.items() if name.startswith(_UNET)}
    averages = {name: _AVERAGED + "".join(name.split(".")[1:]) for name in plain}
    if not any(average in headers for average in averages.values()):
        return plain
    report(what, [average for average in averages.values() if average not in headers], (), ())
    return {name: headers[average] for name, average in averages.items()}


def _check(
    kind: Any,
    headers: Mapping[str, Header],
    rename: Callable[..., dict[str, Any]],
    configs: Path,
    what: str,
    **changes: Any,
) -> None:
    """Compare what a file holds of a network with what the network needs.

    Raises:
        UserError: a tensor is missing or misshapen.
    """
    import torch

    config = kind.load_config(configs) | changes
    model: nn.Module = build_empty(what, headers, kind.from_config, config)
    empty = {name: torch.empty(h.shape, device="meta") for name, h in headers.items()}
    original = {id(tensor): name for name, tensor in empty.items()}
    renamed = guarded(what, rename, dict(empty), config=config)
    names = {
        name: original[id(tensor if tensor._base is None else tensor._base)]
        for name, tensor in renamed.items()
        if tensor is not None
    }
    there = {
        name: Header(tuple(renamed[name].shape), headers[theirs].dtype)
        for name, theirs in names.items()
    }
    wanted = model.state_dict().keys()
    report(what, wanted - there.keys(), (), ())
    check_shapes(model, there, what, names)
    report(what, (), (), headers.keys() - {names[name] for name in wanted})


def _text_name(name: str) -> str:
    """E.g. `cond_stage_model.transformer.text_model.embeddings...` (in the oldest files without
    `text_model.`) is `embeddings...`.
    """
    return name.removeprefix(_TEXT).removeprefix("text_model.")
