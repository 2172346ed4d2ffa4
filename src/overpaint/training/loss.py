"""The one loss of training: hide, add noise, predict, compare with what the process asks for."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from overpaint.diffusion.conditioning_dropout import choose
from overpaint.diffusion.guidance import PICTURE, TEXT
from overpaint.families.contract import TrainableModel
from overpaint.training.augmentation import DRAWS
from overpaint.training.latents import Batch, Batches
from overpaint.training.micro_step import MicroStep


def editing_loss(model: TrainableModel, batch: Batch, step: MicroStep, p: float) -> Tensor:
    """Equation 2 of arXiv:2211.09800, for any process, with conditioning dropout.

    Args:
        model: of whatever family.
        batch: B samples on its device.
        step: where their random numbers come from.
        p: the probability of each case of `conditioning_dropout.choose`.

    Returns:
        The mean squared error between the prediction and the process's target, a scalar.
    """
    dropped = choose(step.uniform(on_cpu=True).to(step.device), p)
    half = batch.moments.shape[1] // 2
    posterior, noise = step.normal(2, half, *batch.moments.shape[2:]).unbind(1)
    times = model.process.draw_times(step)
    clean = model.target_latents(batch.moments, posterior if batch.sampled else None)
    noisy = model.process.noised(clean, noise, times)
    shown = model.hide(batch.condition, {TEXT}, dropped.text)
    shown = model.hide(shown, {PICTURE}, dropped.image)
    predicted = model.predict(noisy, times, shown)
    return F.mse_loss(predicted.float(), model.process.target(clean, noise, times))


@dataclass
class EditingLoss:
    """`editing_loss` of micro-batches of these rows, as the training loop asks for it."""

    model: TrainableModel
    batches: Batches
    rows: Tensor
    p: float

    def __call__(self, network: nn.Module, step: MicroStep) -> dict[str, Tensor]:
        """The loss of one micro-batch; `network` is the model's, or a wrapper of it."""
        if self.model.network is not network:
            self.model = self.model.with_network(network)
        rows = self.rows[step.rows(len(self.rows))]
        batch = self.batches.take(rows, step.uniform(DRAWS, on_cpu=True))
        return {"loss": editing_loss(self.model, batch, step, self.p)}
