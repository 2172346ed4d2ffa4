"""The forward process and the targets against a transcription of their equations."""

from __future__ import annotations

import math

import pytest
import torch

from overpaint.diffusion.noising import PREDICTIONS, add_noise, target, velocity

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
    got = add_noise(clean, noise, ALPHAS, timesteps)
    for i, t in enumerate(timesteps):
        a = float(ALPHAS[t])
        want = math.sqrt(a) * clean[i] + math.sqrt(1 - a) * noise[i]
        torch.testing.assert_close(got[i], want)


def test_velocity_is_its_equation(batch) -> None:
    clean, noise, timesteps = batch
    got = velocity(clean, noise, ALPHAS, timesteps)
    for i, t in enumerate(timesteps):
        a = float(ALPHAS[t])
        torch.testing.assert_close(got[i], math.sqrt(a) * noise[i] - math.sqrt(1 - a) * clean[i])


def test_every_target_gives_back_the_clean_latents(batch) -> None:
    """z_0 can be solved from z_t and any target: the three parameterisations agree."""
    clean, noise, timesteps = batch
    noisy = add_noise(clean, noise, ALPHAS, timesteps)
    a = ALPHAS[timesteps].view(-1, 1, 1, 1)
    solve = {
        "epsilon": lambda y: (noisy - (1 - a).sqrt() * y) / a.sqrt(),
        "v_prediction": lambda y: a.sqrt() * noisy - (1 - a).sqrt() * y,
        "sample": lambda y: y,
    }
    for name in PREDICTIONS:
        answer = target(name, clean, noise, ALPHAS, timesteps)
        torch.testing.assert_close(solve[name](answer), clean, atol=1e-4, rtol=1e-4)


def test_the_schedulers_of_diffusers_agree(batch) -> None:
    from diffusers import DDPMScheduler

    clean, noise, timesteps = batch
    scheduler = DDPMScheduler(beta_schedule="scaled_linear")
    alphas = scheduler.alphas_cumprod
    torch.testing.assert_close(
        add_noise(clean, noise, alphas, timesteps), scheduler.add_noise(clean, noise, timesteps)
    )
    torch.testing.assert_close(
        velocity(clean, noise, alphas, timesteps), scheduler.get_velocity(clean, noise, timesteps)
    )


def test_an_unknown_prediction_is_refused(batch) -> None:
    clean, noise, timesteps = batch
    with pytest.raises(ValueError, match="flow"):
        target("flow", clean, noise, ALPHAS, timesteps)
