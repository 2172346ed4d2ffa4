"""Pairs by ControlNet (arXiv:2302.05543): the edited picture keeps the edges of the original.

The original is drawn from its caption. Its Canny edges then steer the drawing of the edited
caption, at several strengths: too weak and the pictures have little in common, too strong and
nothing changes. Which strength suits a row shows only afterwards, by CLIP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import ControlNetModel
from torch import Tensor, nn

from overpaint.models import TextToImageModel
from overpaint.pairs.canny import canny
from overpaint.pairs.drawing import Drawer, Drawing, batches, draw_between
from overpaint.pairs.requests import Candidate, Request
from overpaint.pairs.settings import PairsSettings
from overpaint.seeds import derive_seed


@dataclass(frozen=True)
class _Job:
    """One candidate to draw, of the row at this index."""

    row: int
    drawing: Drawing
    conditioning_scale: float


class ControlNetMethod:
    """Draws originals, and candidates for their edited versions, with one model.

    Raises:
        UserError: the model cannot draw as the settings ask.
        ValueError: the model was loaded without a ControlNet.
    """

    def __init__(self, model: TextToImageModel, settings: PairsSettings) -> None:
        if model.controlnet is None:
            raise ValueError(f"{model.name} was loaded without a ControlNet")
        self.controlnet = model.controlnet
        self.settings = settings
        self.drawer = Drawer(model, settings)
        self.candidate_drawer = Drawer(model, settings, settings.candidate_scheduler)

    def draw_sources(self, requests: Sequence[Request]) -> list[np.ndarray]:
        """The pictures of the original captions, uint8 (side, side, 3), a row's from its seed.

        Raises:
            ArithmeticError: the model's output is not a number.
        """
        drawer = self.drawer
        texts = drawer.embed([request.original_prompt for request in requests])
        drawings = [self._drawing(r.original_prompt, r.seed) for r in requests]
        pictures: list[np.ndarray] = []
        for batch in batches(drawings, self.settings.batch_size):
            pictures += list(drawer.draw(batch, texts))
        return pictures

    def draw_candidates(
        self, requests: Sequence[Request], sources: Sequence[np.ndarray]
    ) -> list[list[Candidate]]:
        """Candidates of every row: one for each conditioning scale and seed.

        With `shared_noise` a row's first seed is its own, so that the candidates begin with the
        noise of their source, which leaves them alike also where there is no edge.

        Args:
            requests: the rows.
            sources: their pictures, from `draw_sources`.

        Raises:
            ArithmeticError: the model's output is not a number.
        """
        if not requests:
            return []
        texts = self.drawer.embed([request.edited_prompt for request in requests])
        hints = self._embed_hints(sources)
        jobs = [job for row, request in enumerate(requests) for job in self._jobs(row, request)]
        candidates: list[list[Candidate]] = [[] for _ in requests]
        with hints_embedded(self.controlnet):
            for batch in batches(jobs, self.settings.batch_size):
                for job, edited in zip(batch, self._draw(batch, texts, hints), strict=True):
                    candidates[job.row].append(
                        Candidate(
                            original=sources[job.row],
                            edited=edited,
                            seed=job.drawing.seed,
                            conditioning_scale=job.conditioning_scale,
                            attention_fraction=None,
                            guidance_scale=job.drawing.guidance_scale,
                            num_inference_steps=self.drawer.steps,
                        )
                    )
        return candidates

    def _jobs(self, row: int, request: Request) -> list[_Job]:
        numbers = range(self.settings.seeds_per_scale)
        seeds = [derive_seed(request.seed, "candidate", n) for n in numbers]
        if self.settings.shared_noise:
            seeds[0] = request.seed
        return [
            _Job(row, self._drawing(request.edited_prompt, seed), scale)
            for scale in self.settings.controlnet_conditioning_scales
            for seed in seeds
        ]

    def _drawing(self, prompt: str, seed: int) -> Drawing:
        guidance = draw_between(self.settings.guidance_scale, derive_seed(seed, "guidance"))
        return Drawing(prompt, seed, guidance)

    @torch.inference_mode()
    def _embed_hints(self, sources: Sequence[np.ndarray]) -> Tensor:
        """Canny edges as the ControlNet takes them, through its encoder: (rows, C, h, w)."""
        settings, controlnet = self.settings, self.controlnet
        embedded = []
        for batch in batches(sources, settings.batch_size):
            edges = canny(np.stack(batch), settings.canny_low, settings.canny_high)
            white = torch.from_numpy(edges).to(controlnet.device, controlnet.dtype) / 255
            hints = white[:, None].expand(-1, 3, -1, -1)
            embedded.append(controlnet.controlnet_cond_embedding(hints))
        return torch.cat(embedded)

    def _draw(self, jobs: Sequence[_Job], texts: dict[str, Tensor], hints: Tensor) -> np.ndarray:
        scales = torch.tensor([job.conditioning_scale for job in jobs]).to(hints)
        hint = {"hint": hints[[job.row for job in jobs]], "hint_scale": scales}
        return self.candidate_drawer.draw([job.drawing for job in jobs], texts, hint)


@contextmanager
def hints_embedded(controlnet: ControlNetModel) -> Iterator[None]:
    """Let `controlnet` take hints that went through its encoder already.

    diffusers encodes the hint anew at every step, at the full size of the picture; here a row's
    is encoded once for all its candidates and steps.
    """
    encoder = controlnet.controlnet_cond_embedding
    controlnet.controlnet_cond_embedding = nn.Identity()
    try:
        yield
    finally:
        controlnet.controlnet_cond_embedding = encoder
