"""The forward process and what a model is asked to predict.

`alphas` is the schedule's cumulative product of 1 - beta (T,), alpha-bar in the papers;
`timesteps` (B,) says where on it each sample stands. Latents and noise are (B, ...).
"""

from __future__ import annotations

from torch import Tensor

PREDICTIONS = ("epsilon", "v_prediction", "sample")


def add_noise(clean: Tensor, noise: Tensor, alphas: Tensor, timesteps: Tensor) -> Tensor:
    """z_t = sqrt(a_t) z_0 + sqrt(1 - a_t) e (arXiv:2006.11239, eq. 4)."""
    signal, sigma = signal_and_noise(alphas, timesteps, clean)
    return signal * clean + sigma * noise


def velocity(clean: Tensor, noise: Tensor, alphas: Tensor, timesteps: Tensor) -> Tensor:
    """v_t = sqrt(a_t) e - sqrt(1 - a_t) z_0 (arXiv:2202.00512, appendix D)."""
    signal, sigma = signal_and_noise(alphas, timesteps, clean)
    return signal * noise - sigma * clean


def target(
    prediction: str, clean: Tensor, noise: Tensor, alphas: Tensor, timesteps: Tensor
) -> Tensor:
    """What the model should answer at z_t, by the scheduler's `prediction_type`.

    Raises:
        ValueError: `prediction` is none of PREDICTIONS.
    """
    if prediction == "epsilon":
        return noise
    if prediction == "v_prediction":
        return velocity(clean, noise, alphas, timesteps)
    if prediction == "sample":
        return clean
    raise ValueError(f"prediction_type {prediction!r} is none of {', '.join(PREDICTIONS)}")


def signal_and_noise(alphas: Tensor, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(a_t) and sqrt(1 - a_t), each (B, 1, ..., 1) in the dtype and on the device of `like`."""
    chosen = alphas.to(like.device)[timesteps].view(-1, *(1,) * (like.ndim - 1))
    return chosen.sqrt().to(like.dtype), (1 - chosen).sqrt().to(like.dtype)
