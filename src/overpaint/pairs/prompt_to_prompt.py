"""Pairs by Prompt-to-Prompt (arXiv:2208.01626) as the paper uses it (2211.09800, section 3.1.2).

Both captions are drawn together, from the same noise. For a fraction p of the steps the edited
picture takes the self-attention maps of the original: the larger p, the more they are alike. How
much change an edit needs nobody knows beforehand, so p is drawn anew for each candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from overpaint.models import TextToImageModel
from overpaint.pairs.alignment import ColumnMix, mix_columns
from overpaint.pairs.attention import SharedAttention, shared_attention
from overpaint.pairs.drawing import Drawer, Drawing, batches, draw_between
from overpaint.pairs.requests import Candidate, Request
from overpaint.pairs.settings import PairsSettings
from overpaint.seeds import derive_seed


@dataclass(frozen=True)
class _Job:
    """One candidate to draw, of the row at this index."""

    row: int
    original: Drawing
    edited: Drawing
    attention_fraction: float


class PromptToPromptMethod:
    """Draws candidates, both pictures of each at once, with one model.

    Raises:
        UserError: the model cannot draw as the settings ask.
    """

    def __init__(self, model: TextToImageModel, settings: PairsSettings) -> None:
        self.model = model
        self.settings = settings
        self.drawer = Drawer(model, settings)

    def draw_candidates(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """`settings.candidates` pairs of pictures for every row, each from a seed of its own.

        All of them are in memory at once: `candidates` x 2 pictures a row.

        Raises:
            ArithmeticError: the model's output is not a number.
        """
        texts = self.drawer.embed(
            [text for r in requests for text in (r.original_prompt, r.edited_prompt)]
        )
        mixes = [self._mix(request) for request in requests]
        jobs = [job for row, request in enumerate(requests) for job in self._jobs(row, request)]
        candidates: list[list[Candidate]] = [[] for _ in requests]
        for batch in batches(jobs, max(1, self.settings.batch_size // 2)):
            pictures = self._draw(batch, texts, [mixes[job.row] for job in batch])
            for i, job in enumerate(batch):
                candidates[job.row].append(
                    Candidate(
                        original=pictures[i],
                        edited=pictures[len(batch) + i],
                        seed=job.edited.seed,
                        conditioning_scale=None,
                        attention_fraction=job.attention_fraction,
                        guidance_scale=job.edited.guidance_scale,
                        num_inference_steps=self.drawer.steps,
                    )
                )
        return candidates

    def _jobs(self, row: int, request: Request) -> list[_Job]:
        settings, jobs = self.settings, []
        for number in range(settings.candidates):
            seed = derive_seed(request.seed, "candidate", number)
            guidance = draw_between(settings.guidance_scale, derive_seed(seed, "guidance"))
            fraction = draw_between(settings.attention_fraction, derive_seed(seed, "attention"))
            original = Drawing(request.original_prompt, seed, guidance)
            edited = Drawing(request.edited_prompt, seed, guidance)
            jobs.append(_Job(row, original, edited, fraction))
        return jobs

    def _mix(self, request: Request) -> ColumnMix | None:
        return mix_columns(
            self.model.tokenizer,
            request.original_prompt,
            request.edited_prompt,
            self.settings.cross_attention,
            self.settings.reweight,
        )

    def _draw(
        self, jobs: Sequence[_Job], texts: dict[str, Tensor], mixes: Sequence[ColumnMix | None]
    ) -> np.ndarray:
        """The originals of these candidates, then their edited pictures."""
        drawings = [job.original for job in jobs] + [job.edited for job in jobs]
        plan = self.drawer.plan(drawings)
        fractions = [job.attention_fraction for job in jobs]
        attention = SharedAttention(plan, fractions, mixes, self.settings.cross_attention_fraction)
        with shared_attention(self.model.unet, attention):
            return self.drawer.draw(drawings, texts, before_step=attention.before_step)
