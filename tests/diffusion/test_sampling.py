"""The sampling loop: equal to a small oracle, and one random stream for each picture."""

from __future__ import annotations

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from overpaint.diffusion.guidance import Scales, plan_branches, plan_text
from overpaint.diffusion.prediction import edit_prediction, text_prediction
from overpaint.diffusion.sampling import denoise, draw_noise, seeded_generators
from tiny import DDIM

CPU = torch.device("cpu")
SHAPE = (4, 6, 6)


class FakeUNet:
    """A cheap function of everything that a U-Net is given; remembers how often it was asked."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, sample, timestep, text, return_dict):
        assert not return_dict
        self.rows.append(len(sample))
        noisy, picture = sample.chunk(2, dim=1)
        words = text.mean(dim=(1, 2)).view(-1, 1, 1, 1)
        return (torch.tanh(noisy + 0.3 * picture) + words * picture.cos() + timestep / 1000,)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    picture = torch.randn(3, *SHAPE, generator=generator)
    text = torch.randn(3, 5, 8, generator=generator)
    return picture, text, torch.randn(1, 5, 8, generator=generator)


def run(scheduler, inputs, seeds, scales, unet=None, steps=5, before_step=None):
    picture, text, null = (x[: len(seeds)] for x in inputs)
    generators = seeded_generators(seeds)
    noise = draw_noise(SHAPE, generators, CPU, torch.float32)
    scheduler.set_timesteps(steps)
    predict = edit_prediction(unet or FakeUNet(), plan_branches(scales), picture, text, null)
    return denoise(predict, scheduler, noise, generators, before_step)


def test_ddim_equals_its_equations(inputs):
    """DDIM (arXiv:2010.02502, eq. 12, sigma 0) for v-prediction, written out."""
    unet, scheduler = FakeUNet(), DDIMScheduler(**DDIM)
    picture, text, null = (x[:1] for x in inputs)
    s_t, s_i = 3.0, 1.4
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = torch.cumprod(1 - betas, 0)
    x = torch.randn((1, *SHAPE), generator=torch.Generator().manual_seed(7))
    for t in range(801, 0, -200):
        time = torch.tensor(t)
        full = unet(torch.cat([x, picture], 1), time, text, False)[0]
        image = unet(torch.cat([x, picture], 1), time, null, False)[0]
        none = unet(torch.cat([x, 0 * picture], 1), time, null, False)[0]
        v = none + s_i * (image - none) + s_t * (full - image)
        a, a_next = alphas[t], alphas[max(t - 200, 0)]
        x0, eps = a.sqrt() * x - (1 - a).sqrt() * v, a.sqrt() * v + (1 - a).sqrt() * x
        x = a_next.sqrt() * x0 + (1 - a_next).sqrt() * eps
    ours = run(scheduler, inputs, [7], [Scales(s_t, s_i)])
    torch.testing.assert_close(ours, x)


@pytest.mark.parametrize(
    "kind", [DDIMScheduler, EulerAncestralDiscreteScheduler, PNDMScheduler, UniPCMultistepScheduler]
)
def test_a_picture_is_the_same_alone_and_in_a_batch(kind, inputs):
    config = DDIMScheduler(**DDIM).config
    scales = [Scales(3.0, 1.4), Scales(1.0, 1.0), Scales(2.0, 1.0)]
    together = run(kind.from_config(config), inputs, [5, 6, 7], scales)
    for i in range(3):
        one = tuple(x[i : i + 1] if len(x) == 3 else x for x in inputs)
        alone = run(kind.from_config(config), one, [5 + i], scales[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)


def test_noise_of_a_seed_is_the_same_at_any_batch_size():
    eight = draw_noise(SHAPE, seeded_generators(range(8)), CPU, torch.float32)
    for seed in range(8):
        one = draw_noise(SHAPE, seeded_generators([seed]), CPU, torch.float32)
        assert torch.equal(eight[seed : seed + 1], one)


def test_only_the_needed_branches_are_asked(inputs):
    unet = FakeUNet()
    scales = [Scales(3.0, 1.4), Scales(1.0, 1.0), Scales(2.0, 1.0)]
    run(DDIMScheduler(**DDIM), inputs, [0, 1, 2], scales, unet)
    assert unet.rows == [3 + 1 + 2] * 5


def test_the_hook_comes_before_each_model_call_and_can_stop_it(inputs):
    unet, calls = FakeUNet(), []

    def hook(step, steps, latents):
        calls.append((step, steps, len(unet.rows), tuple(latents.shape)))
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(DDIMScheduler(**DDIM), inputs, [0], [Scales(3.0, 1.4)], unet, before_step=hook)
    assert calls == [(i, 5, i, (1, *SHAPE)) for i in range(4)]


class FakeDrawer(FakeUNet):
    """The same for a U-Net that sees no picture."""

    def __call__(self, sample, timestep, text, return_dict, bias=0.0):
        both = torch.cat([sample, torch.zeros_like(sample)], 1)
        return (super().__call__(both, timestep, text, return_dict)[0] + bias,)


def test_plain_guidance_is_its_equation(inputs):
    """arXiv:2207.12598, eq. 6, each sample with its own scale; a scale of 1 asks no second time."""
    _, text, null = inputs
    unet, time = FakeDrawer(), torch.tensor(500)
    latents = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(3))
    guided = text_prediction(unet, plan_text([7.5, 1.0, 0.0]), text, null)(latents, time)
    assert unet.rows == [4]
    for i, scale in enumerate((7.5, 1.0, 0.0)):
        one = latents[i : i + 1]
        none = unet(one, time, null, False)[0]
        expected = none + scale * (unet(one, time, text[i : i + 1], False)[0] - none)
        torch.testing.assert_close(guided[i : i + 1], expected, atol=1e-5, rtol=1e-5)


def test_control_sees_every_row_and_adds_to_the_call(inputs):
    _, text, null = inputs
    seen = []

    def control(rows, timestep, context):
        seen.append((tuple(rows.shape), int(timestep), tuple(context.shape)))
        return {"bias": 1.0}

    plan, latents, time = plan_text([2.0] * 3), torch.randn(3, *SHAPE), torch.tensor(9)
    plain = text_prediction(FakeDrawer(), plan, text, null)(latents, time)
    controlled = text_prediction(FakeDrawer(), plan, text, null, control)(latents, time)
    torch.testing.assert_close(controlled, plain + 1.0)
    assert seen == [((6, *SHAPE), 9, (6, 5, 8))]
