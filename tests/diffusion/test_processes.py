"""The forward process and the targets against a transcription of their equations."""

from __future__ import annotations

import math

import pytest
import torch

from overpaint.diffusion.processes import PREDICTIONS, AlphaBar, RectifiedFlow
from overpaint.training.micro_step import MicroStep

ALPHAS = torch.linspace(0.999, 0.01, 1000)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    shape = (3, 2, 4, 4)
    return (
        torch.randn(shape, generator=g),
        torch.randn(shape, generator=g),
        torch.tensor([0, 7, 999]),
    )


def test_add_noise_is_equation_4(batch) -> None:
    clean, noise, timesteps = batch
    got = AlphaBar(ALPHAS).noised(clean, noise, timesteps)
    for i, t in enumerate(timesteps):
        a = float(ALPHAS[t])
        want = math.sqrt(a) * clean[i] + math.sqrt(1 - a) * noise[i]
        torch.testing.assert_close(got[i], want)


def test_velocity_is_its_equation(batch) -> None:
    clean, noise, timesteps = batch
    got = AlphaBar(ALPHAS, "v_prediction").target(clean, noise, timesteps)
    for i, t in enumerate(timesteps):
        a = float(ALPHAS[t])
        torch.testing.assert_close(got[i], math.sqrt(a) * noise[i] - math.sqrt(1 - a) * clean[i])


def test_every_target_gives_back_the_clean_latents(batch) -> None:
    """z_0 can be solved from z_t and any target: the three parameterisations agree."""
    clean, noise, timesteps = batch
    noisy = AlphaBar(ALPHAS).noised(clean, noise, timesteps)
    a = ALPHAS[timesteps].view(-1, 1, 1, 1)
    solve = {
        "epsilon": lambda y: (noisy - (1 - a).sqrt() * y) / a.sqrt(),
        "v_prediction": lambda y: a.sqrt() * noisy - (1 - a).sqrt() * y,
        "sample": lambda y: y,
    }
    for name in PREDICTIONS:
        answer = AlphaBar(ALPHAS, name).target(clean, noise, timesteps)
        torch.testing.assert_close(solve[name](answer), clean, atol=1e-4, rtol=1e-4)


def test_the_schedulers_of_diffusers_agree(batch) -> None:
    from diffusers import DDPMScheduler

    clean, noise, timesteps = batch
    scheduler = DDPMScheduler(beta_schedule="scaled_linear")
    process = AlphaBar(scheduler.alphas_cumprod, "v_prediction")
    torch.testing.assert_close(
        process.noised(clean, noise, timesteps), scheduler.add_noise(clean, noise, timesteps)
    )
    torch.testing.assert_close(
        process.target(clean, noise, timesteps), scheduler.get_velocity(clean, noise, timesteps)
    )


def test_an_unknown_prediction_is_refused() -> None:
    with pytest.raises(ValueError, match="flow"):
        AlphaBar(ALPHAS, "flow")


@pytest.mark.parametrize("shape", [(2, 4, 4), (9, 5)], ids=["pictures", "packed tokens"])
def test_rectified_flow_is_a_straight_line_from_picture_to_noise(shape) -> None:
    clean, noise = torch.randn(3, *shape), torch.randn(3, *shape)
    flow, times = RectifiedFlow(), torch.tensor([0.0, 250.0, 1000.0])
    noisy = flow.noised(clean, noise, times)
    assert torch.equal(noisy[0], clean[0])
    assert torch.equal(noisy[2], noise[2])
    back = noisy[1] - 0.25 * flow.target(clean, noise, times)[1]
    torch.testing.assert_close(back, clean[1])


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_times_of_rectified_flow_are_logit_normal_and_shifted_as_its_scheduler_does(shift) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    step = MicroStep(index=0, micro=0, accumulation=1, batch_size=512, seed=1)
    times = RectifiedFlow(shift).draw_times(step)
    assert 0 < float(times.min()) < float(times.max()) < 1000
    plain = torch.full((), 0.5)
    want = FlowMatchEulerDiscreteScheduler(shift=shift)
    want.set_timesteps(sigmas=[float(plain)])
    assert float(times.median()) == pytest.approx(float(want.timesteps[0]), abs=30)
