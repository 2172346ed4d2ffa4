"""A family of editors in one file: rectified flow on the pixels themselves, packed as tokens.

Its network is one linear layer that sees noise, picture and a number for the words, so everything
differs from InstructPix2Pix: process, latents, conditions, branches, geometry.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import nn

from overpaint.diffusion.guidance import TEXT, guide, text_asks
from overpaint.diffusion.processes import RectifiedFlow
from overpaint.diffusion.sampling import Steps, draw_noise
from overpaint.families.contract import Card, Geometry
from overpaint.models.encoding import to_pixels
from overpaint.sampler import SamplerSettings

SIDE = 16
CLASS = "ToyEditPipeline"


class ToyNetwork(nn.Module):
    """(B, L, 3) noisy tokens and as many of the picture, and (B,) words, to (B, L, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, noisy, picture, text, times):
        rest = torch.stack([text, times / 1000], dim=1)[:, None].expand(-1, noisy.shape[1], -1)
        return self.layer(torch.cat([noisy, picture, rest.to(noisy.dtype)], dim=2))


@dataclass
class ToyModel:
    network: nn.Module
    name: str
    looked_at: list = field(default_factory=list)

    @property
    def card(self) -> Card:
        defaults = SamplerSettings(num_inference_steps=2, guidance_scale=1.5)
        return Card("toy", self.name, defaults, SIDE, 100, scales=("guidance_scale",), device="cpu")

    @property
    def process(self):
        return RectifiedFlow(shift=2.0)

    def place(self, size, resolution=None):
        return Geometry(size, (SIDE, SIDE))

    def remarks(self, images, condition):
        self.looked_at.extend(images)
        assert len(condition["picture"]) == len(images)
        return [("a toy edits it",)] * len(images)

    def text_remarks(self, texts):
        return {}

    def encode(self, requests):
        return self.condition(
            to_pixels([request.image for request in requests]),
            [request.instruction for request in requests],
        )

    def condition(self, pixels, texts):
        words = torch.tensor([crc32(text.encode()) % 100 / 100 for text in texts])
        return {"picture": pixels.flatten(2).transpose(1, 2), "text": words}

    def asks(self, settings):
        return text_asks(settings.guidance_scale)

    def hide(self, condition, what, rows=None):
        shown = dict(condition)
        for name in what:
            value = shown[name]
            keep = 0.0 if rows is None else (~rows).view(-1, *(1,) * (value.ndim - 1))
            shown[name] = value * keep
        return shown

    def combine(self, answers, plan):
        """The guided answer, as long as the one that shows everything."""
        whole = answers[: len(plan.parts[0].samples)]
        found = guide(answers, plan)
        if TEXT in plan.parts[0].hide or len(whole) < plan.batch:
            return found
        return found * whole.norm(dim=(1, 2), keepdim=True) / found.norm(dim=(1, 2), keepdim=True)

    def noise(self, generators, size):
        return draw_noise((size[0] * size[1], 3), generators, torch.device("cpu"), torch.float32)

    def steps(self, number, size):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=2.0)
        scheduler.set_timesteps(number)
        return Steps(scheduler)

    def predict(self, noisy, times, condition):
        return self.network(noisy, condition["picture"], condition["text"], times)

    def decode(self, latents, size):
        return latents.transpose(1, 2).unflatten(2, (size[1], size[0]))

    def with_network(self, network):
        return replace(self, network=network)

    def posterior(self, pixels):
        mean = pixels.flatten(2).transpose(1, 2)
        return torch.cat([mean, torch.zeros_like(mean)], dim=1)

    def target_latents(self, moments, noise):
        mean, deviation = moments.chunk(2, dim=1)
        return mean if noise is None else mean + deviation * noise


def build(folder: Path) -> Path:
    """A folder that this family claims."""
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps({"_class_name": CLASS}))
    return folder


def load(name, *, device=None, dtype=None) -> ToyModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ToyModel(ToyNetwork(), str(name))
