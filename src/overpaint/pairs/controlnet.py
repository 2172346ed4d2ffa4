"""Pairs by ControlNet (arXiv:2302.05543): the edited picture keeps the edges of the original.

The original is drawn from its caption. Its Canny edges then steer the drawing of the edited
caption, at several strengths: too weak and the pictures have little in common, too strong and
nothing changes. Which strength suits a row shows only afterwards, by CLIP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from diffusers import ControlNetModel
from torch import Tensor, nn

from overpaint.models import TextToImageModel
from overpaint.pairs.candidates import Candidate, CandidateSpec
from overpaint.pairs.canny import edge_map
from overpaint.pairs.sampler import Sampler, batches, uniform
from overpaint.pairs.settings import PairsSettings
from overpaint.rows import Triplet
from overpaint.seeds import derive_seed


class ControlNetMethod:
    """Samples originals, and candidates for their edited versions, with one model.

    Raises:
        UserError: the model cannot draw as the settings ask (see `Sampler`).
        ValueError: the model was loaded without a ControlNet.
    """

    def __init__(self, model: TextToImageModel, settings: PairsSettings) -> None:
        if model.controlnet is None:
            raise ValueError(f"{model.name} was loaded without a ControlNet")
        self.controlnet = model.controlnet
        self.settings = settings
        self.sampler = Sampler(model, settings)
        self.candidate_sampler = Sampler(model, settings, settings.candidate_scheduler)

    def draw_sources(self, triplets: Sequence[Triplet], seeds: Sequence[int]) -> list[np.ndarray]:
        """The pictures of the original captions, uint8 (side, side, 3), each from its row's seed.

        Raises:
            ArithmeticError: the model's output is not a number.
        """
        prompts = [triplet.original_prompt for triplet in triplets]
        texts = self.sampler.embed(prompts)
        pictures: list[np.ndarray] = []
        for rows in batches(range(len(triplets)), self.settings.batch_size):
            own = [seeds[row] for row in rows]
            scales = [self._guidance(seed) for seed in own]
            captions = [prompts[row] for row in rows]
            pictures += list(self.sampler.sample(captions, own, scales, texts))
        return pictures

    def draw_candidates(
        self, triplets: Sequence[Triplet], seeds: Sequence[int], sources: Sequence[np.ndarray]
    ) -> list[list[Candidate]]:
        """Candidates of every row: one for each conditioning scale and seed.

        With `shared_noise` a row's first seed is its own, so that the candidates begin with the
        noise of their source, which leaves them alike also where there is no edge.

        Args:
            triplets: the rows.
            seeds: theirs.
            sources: their pictures, from `draw_sources`.

        Raises:
            ArithmeticError: the model's output is not a number.
        """
        if not triplets:
            return []
        prompts = [triplet.edited_prompt for triplet in triplets]
        texts = self.sampler.embed(prompts)
        hints = self._embed_hints(sources)
        specs = [spec for row, seed in enumerate(seeds) for spec in self._specs(row, seed)]
        found: list[list[Candidate]] = [[] for _ in triplets]
        with hints_embedded(self.controlnet):
            for batch in batches(specs, self.settings.batch_size):
                pictures = self._sample(batch, prompts, texts, hints)
                for spec, edited in zip(batch, pictures, strict=True):
                    found[spec.row].append(Candidate(spec, sources[spec.row], edited))
        return found

    def _specs(self, row: int, row_seed: int) -> list[CandidateSpec]:
        numbers = range(self.settings.seeds_per_scale)
        seeds = [derive_seed(row_seed, "candidate", n) for n in numbers]
        if self.settings.shared_noise:
            seeds[0] = row_seed
        return [
            CandidateSpec(row, seed, self._guidance(seed), conditioning_scale=scale)
            for scale in self.settings.controlnet_conditioning_scales
            for seed in seeds
        ]

    def _guidance(self, seed: int) -> float:
        return uniform(self.settings.guidance_scale, derive_seed(seed, "guidance"))

    @torch.inference_mode()
    def _embed_hints(self, sources: Sequence[np.ndarray]) -> Tensor:
        """Canny edges as the ControlNet takes them, through its encoder: (rows, C, h, w)."""
        settings, controlnet = self.settings, self.controlnet
        embedded = []
        for batch in batches(sources, settings.batch_size):
            pictures = torch.from_numpy(np.stack(batch)).to(controlnet.device)
            edges = edge_map(pictures, settings.canny_low, settings.canny_high)
            hints = edges[:, None].expand(-1, 3, -1, -1).to(controlnet.dtype)
            embedded.append(controlnet.controlnet_cond_embedding(hints))
        return torch.cat(embedded)

    def _sample(
        self,
        specs: Sequence[CandidateSpec],
        prompts: Sequence[str],
        texts: dict[str, Tensor],
        hints: Tensor,
    ) -> np.ndarray:
        """The edited pictures of one batch of candidates; `prompts` and `hints` are the rows'."""
        scales = torch.tensor([spec.conditioning_scale for spec in specs]).to(hints)
        rows = [spec.row for spec in specs]
        hint = {"hint": hints[rows], "hint_scale": scales}
        captions, seeds = [prompts[row] for row in rows], [spec.seed for spec in specs]
        guidance = [spec.guidance_scale for spec in specs]
        return self.candidate_sampler.sample(captions, seeds, guidance, texts, hint)


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
