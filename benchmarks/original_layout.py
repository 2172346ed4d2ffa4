"""The parameter names of Stable Diffusion 1.x's original code, from those of diffusers.

A single-file checkpoint is one flat table of tensors: `model.diffusion_model.` for the U-Net,
`first_stage_model.` for the autoencoder, `cond_stage_model.transformer.` for the text tower
(and `model_ema.`, where the averaged U-Net was kept, with its dots left out). The same map
serves the tests and `full_size_smoke.py`, which write such files; reading is diffusers' own.
"""

from __future__ import annotations

import re

LEVELS = 4
LAYERS = 2

_UNET_BLOCK = re.compile(r"(down|up)_blocks\.(\d)\.(resnets|attentions|\w+samplers)\.(\d)\.(.*)")
_VAE_BLOCK = re.compile(
    r"(encoder|decoder)\.(?:down|up)_blocks\.(\d)\.(resnets|\w+samplers)\.(\d)\.(.*)"
)

_UNET_WHOLE = {
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.1.": "middle_block.2.",
}
_UNET_RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}
_VAE_WHOLE = {
    "mid_block.resnets.0.": "mid.block_1.",
    "mid_block.resnets.1.": "mid.block_2.",
    "mid_block.attentions.0.": "mid.attn_1.",
    "conv_norm_out.": "norm_out.",
}
_VAE_INNER = {
    "conv_shortcut.": "nin_shortcut.",
    "group_norm.": "norm.",
    "to_q.": "q.",
    "to_k.": "k.",
    "to_v.": "v.",
    "to_out.0.": "proj_out.",
}


def original_unet_name(name: str, layers: int = LAYERS) -> str:
    """E.g. `down_blocks.1.resnets.0.conv1.weight` is
    `model.diffusion_model.input_blocks.4.0.in_layers.2.weight`.
    """
    for ours, theirs in _UNET_WHOLE.items():
        if name.startswith(ours):
            rest = name.removeprefix(ours)
            inner = _replace_start(rest, _UNET_RESNET) if "resnets" in ours else rest
            return f"model.diffusion_model.{theirs}{inner}"
    match = _UNET_BLOCK.fullmatch(name)
    if match is None:
        raise ValueError(f"no Stable Diffusion 1.x U-Net has a parameter {name!r}")
    side, level, kind, layer, rest = match.groups()
    return "model.diffusion_model." + _unet_block(
        side, int(level), kind, int(layer), rest, layers + 1
    )


def original_vae_name(name: str, levels: int = LEVELS) -> str:
    """E.g. `decoder.up_blocks.0.resnets.1.conv1.weight` is
    `first_stage_model.decoder.up.3.block.1.conv1.weight`.
    """
    match = _VAE_BLOCK.fullmatch(name)
    if match is None:
        side, _, rest = name.partition(".")
        for ours, theirs in _VAE_WHOLE.items():
            if rest.startswith(ours):
                rest = theirs + _replace_start(rest.removeprefix(ours), _VAE_INNER)
                break
        return f"first_stage_model.{side}.{rest}"
    side, level, kind, layer, rest = match.groups()
    # The original numbers the decoder's levels by resolution, diffusers by order of use.
    at = f"down.{level}" if side == "encoder" else f"up.{levels - 1 - int(level)}"
    block = f"block.{layer}.{_replace_start(rest, _VAE_INNER)}"
    inner = block if kind == "resnets" else f"{kind.removesuffix('rs')}.{rest}"
    return f"first_stage_model.{side}.{at}.{inner}"


def original_text_name(name: str) -> str:
    """E.g. `final_layer_norm.bias` is
    `cond_stage_model.transformer.text_model.final_layer_norm.bias`.
    """
    return f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"


def ema_name(original: str) -> str:
    """Where the original training code kept the moving average of a U-Net parameter."""
    return "model_ema." + original.removeprefix("model.").replace(".", "")


def _unet_block(side: str, level: int, kind: str, layer: int, rest: str, run: int) -> str:
    """Each level is a run of numbered blocks: its layers, and (below) one that changes size."""
    if side == "down":
        number = 1 + run * level + layer
        if kind == "downsamplers":
            return f"input_blocks.{run * (level + 1)}.0.{_op(rest)}"
        block = f"input_blocks.{number}"
    else:
        block = f"output_blocks.{run * level + layer}"
        if kind == "upsamplers":
            # It is the last part of the level's last block, after the attention if there is one.
            return f"output_blocks.{run * (level + 1) - 1}.{1 if level == 0 else 2}.{rest}"
    if kind == "resnets":
        return f"{block}.0.{_replace_start(rest, _UNET_RESNET)}"
    return f"{block}.1.{rest}"


def _op(rest: str) -> str:
    return f"op.{rest.removeprefix('conv.')}"


def _replace_start(rest: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        if rest.startswith(ours):
            return theirs + rest.removeprefix(ours)
    return rest
