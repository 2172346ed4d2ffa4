"""A widened U-Net answers as before while its new channels see zeros."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from overpaint.diffusion.widening import widen_conv_in, widened
from tiny import LATENT_CHANNELS, tiny_components


@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_new_channels_change_no_bit(padding_mode: str) -> None:
    """Whole numbers have exact sums in any order, so not even rounding may differ."""
    conv = nn.Conv2d(4, 12, 3, padding=1, padding_mode=padding_mode)
    assert conv.bias is not None
    for parameter in (conv.weight, conv.bias):
        parameter.data = torch.randint_like(parameter, -9, 9)
    wide = widened(conv, 8)
    x = torch.randint(-9, 9, (2, 4, 8, 8)).float()
    for rest in (torch.zeros_like(x), torch.randint_like(x, -9, 9)):
        assert torch.equal(wide(torch.cat([x, rest], 1)), conv(x))
    assert torch.equal(wide.weight[:, :4], conv.weight)
    assert torch.equal(wide.weight[:, 4:], torch.zeros(12, 4, 3, 3))


def test_the_bias_is_kept() -> None:
    conv = nn.Conv2d(4, 12, 3)
    assert conv.bias is not None
    conv.bias.data.normal_()
    wide = widened(conv, 8)
    assert wide.bias is not None
    assert torch.equal(wide.bias, conv.bias)
    assert wide.bias is not conv.bias
    assert widened(nn.Conv2d(4, 12, 3, bias=False), 8).bias is None


@torch.no_grad()
def test_the_whole_unet_answers_as_before(tmp_path) -> None:
    from diffusers import UNet2DConditionModel

    unet, *_ = tiny_components(in_channels=LATENT_CHANNELS)
    x, text = torch.randn(2, LATENT_CHANNELS, 8, 8), torch.randn(2, 5, 32)
    before = unet(x, 3, encoder_hidden_states=text).sample
    unet.save_pretrained(tmp_path / "parent")
    parent = UNet2DConditionModel.from_pretrained(tmp_path / "parent")
    wide = widen_conv_in(parent, 2 * LATENT_CHANNELS)
    both = torch.cat([x, torch.zeros_like(x)], 1)
    torch.testing.assert_close(
        wide(both, 3, encoder_hidden_states=text).sample, before, atol=1e-5, rtol=0
    )
    wide.save_pretrained(tmp_path / "wide")
    again = UNet2DConditionModel.from_pretrained(tmp_path / "wide")
    assert again.config.in_channels == 2 * LATENT_CHANNELS
    assert torch.equal(again.conv_in.weight, wide.conv_in.weight)


def test_a_wide_one_is_left_alone_and_none_is_narrowed() -> None:
    unet, *_ = tiny_components()
    conv = unet.conv_in
    assert widen_conv_in(unet, 2 * LATENT_CHANNELS).conv_in is conv
    with pytest.raises(ValueError, match="cannot be widened"):
        widen_conv_in(unet, 4)


def test_no_random_number_is_drawn() -> None:
    conv = nn.Conv2d(4, 12, 3)
    before = torch.random.get_rng_state()
    widened(conv, 8)
    assert torch.equal(torch.random.get_rng_state(), before)
