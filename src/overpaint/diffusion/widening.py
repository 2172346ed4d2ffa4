"""More input channels for a U-Net: arXiv:2211.09800, section 3.2.

The editing U-Net sees the source picture's latents beside the noisy ones. Its new weights
begin at zero, so before training it answers exactly as the text-to-image model did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel


def widen_conv_in(unet: UNet2DConditionModel, in_channels: int) -> UNet2DConditionModel:
    """Let `unet` take `in_channels` channels; the new ones come last, weighted with zero.

    Changed in place (weights, `config.in_channels`) and returned; the bias is kept. A U-Net
    that takes as many already is left as it is.

    Raises:
        ValueError: it takes more channels than that.
    """
    if unet.config.in_channels == in_channels:
        return unet
    unet.conv_in = widened(unet.conv_in, in_channels)
    unet.register_to_config(in_channels=in_channels)
    return unet


@torch.no_grad()
def widened(conv: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """A copy of `conv` with `in_channels` inputs: W' = [W | 0], b' = b.

    Raises:
        ValueError: `conv` has more inputs than that, or groups.
    """
    if in_channels < conv.in_channels or conv.groups != 1:
        raise ValueError(
            f"a convolution of {conv.in_channels} inputs in {conv.groups} group(s) cannot be "
            f"widened to {in_channels}"
        )
    weight = conv.weight.new_zeros(conv.out_channels, in_channels, *conv.kernel_size)
    weight[:, : conv.in_channels] = conv.weight
    with torch.device("meta"):  # no weights are drawn, so the global random stream stays
        wide = nn.Conv2d(
            in_channels,
            conv.out_channels,
            (conv.kernel_size[0], conv.kernel_size[1]),
            (conv.stride[0], conv.stride[1]),
            conv.padding if isinstance(conv.padding, str) else (conv.padding[0], conv.padding[1]),
            (conv.dilation[0], conv.dilation[1]),
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
        )
    wide.weight = nn.Parameter(weight, requires_grad=conv.weight.requires_grad)
    wide.bias = None if conv.bias is None else nn.Parameter(conv.bias.clone())
    return wide.train(conv.training)
