"""One shard of pairs: candidates drawn, scored and chosen, some rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from overpaint.engine import Done, Made, Row
from overpaint.models.clip import Clip, load_clip
from overpaint.models.text_to_image import load_text_to_image
from overpaint.pairs.choice import choose, source_fails
from overpaint.pairs.parts import clip_name, controlnet_name, model_ids
from overpaint.pairs.requests import Candidate, Request
from overpaint.pairs.scoring import Embeddings, score_candidates, source_scores
from overpaint.pairs.settings import PairsSettings
from overpaint.pairs.showing import shown_row
from overpaint.pairs.tallies import Outcome, add, count
from overpaint.rows import Pair
from overpaint.shards import row_seed

GROUP = 10  # batches of candidates that are made before they are scored


class Sources(Protocol):
    """A method whose candidates share one source: ControlNet."""

    def draw_sources(self, requests: Sequence[Request]) -> list[np.ndarray]:
        """The picture of each original caption, uint8 (H, W, 3)."""

    def draw_candidates(
        self, requests: Sequence[Request], sources: Sequence[np.ndarray]
    ) -> list[list[Candidate]]:
        """The candidates of each row, of which each keeps its source as `original`."""


class Couples(Protocol):
    """A method that draws both pictures of a candidate together: Prompt-to-Prompt."""

    def draw_candidates(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """The candidates of each row."""


@dataclass
class PairsStage:
    """What the engine runs. One of the two methods is there."""

    settings: PairsSettings
    clip: Clip
    sources: Sources | None
    couples: Couples | None
    shown: Collection[str]
    """keys of the rows that the page shows"""

    def __call__(self, rows: Sequence[Row], done: Done) -> Made:
        """The pairs of one shard, and what became of its rows."""
        pairs, tallies = [], []
        for group in _groups(rows, self.settings):
            outcomes = self._judge([request_of(row, self.settings.seed) for row in group])
            pairs += [row for outcome in outcomes for row in pair_rows(outcome, self.settings)]
            tally = count(outcomes, self.settings)
            tally.shown = [
                shown_row(outcome, self.settings)
                for row, outcome in zip(group, outcomes, strict=True)
                if row["key"] in self.shown
            ]
            tallies.append(tally.to_dict())
            done(len(group))
        return Made(pairs, add(tallies).to_dict())

    def _judge(self, requests: Sequence[Request]) -> list[Outcome]:
        """What becomes of each row."""
        embeddings = Embeddings(self.clip)
        if self.couples is not None:
            return self._choose(embeddings, requests, self.couples.draw_candidates(requests))
        assert self.sources is not None
        drawn = self.sources.draw_sources(requests)
        scores = source_scores(embeddings, requests, drawn)
        ended = {
            i: Outcome(requests[i], source=drawn[i], clip_original=score)
            for i, score in enumerate(scores)
            if source_fails(score, self.settings.thresholds)
        }
        # Of rows that end here no candidate is paid for.
        left = [i for i in range(len(requests)) if i not in ended]
        asked = [requests[i] for i in left]
        candidates = self.sources.draw_candidates(asked, [drawn[i] for i in left]) if left else []
        chosen = iter(self._choose(embeddings, asked, candidates))
        return [ended[i] if i in ended else next(chosen) for i in range(len(requests))]

    def _choose(
        self,
        embeddings: Embeddings,
        requests: Sequence[Request],
        candidates: Sequence[Sequence[Candidate]],
    ) -> list[Outcome]:
        scores = score_candidates(embeddings, requests, candidates)
        thresholds, keep = self.settings.thresholds, self.settings.keep
        return [
            Outcome(request, drawn, found, choose(found, thresholds, keep))
            for request, drawn, found in zip(requests, candidates, scores, strict=True)
        ]


def open_stage(settings: PairsSettings, device: torch.device, shown: Collection[str]) -> PairsStage:
    """Load the model, the method and the CLIP; `settings.dtype` is the number format to draw in.

    Raises:
        UserError: one of them is not there, is broken, or does not fit the others.
    """
    model = load_text_to_image(settings.model, controlnet_name(settings), device, settings.dtype)
    sources: Sources | None = None
    couples: Couples | None = None
    if settings.method == "controlnet":
        from overpaint.pairs.controlnet import ControlNetMethod

        sources = ControlNetMethod(model, settings)
    else:
        from overpaint.pairs.prompt_to_prompt import PromptToPromptMethod

        couples = PromptToPromptMethod(model, settings)
    return PairsStage(settings, load_clip(clip_name(settings), device), sources, couples, shown)


def request_of(row: Row, seed: int) -> Request:
    """What a method is asked for a row of `inputs.read_rows`."""
    return Request(
        original_prompt=row["original_prompt"],
        edit_prompt=row["edit_prompt"],
        edited_prompt=row["edited_prompt"],
        kind=row["kind"],
        seed=row_seed(seed, row["key"]),
    )


def pair_rows(outcome: Outcome, settings: PairsSettings) -> Iterator[dict[str, object]]:
    """The rows of the dataset that are kept of one triplet, best first."""
    request = outcome.request
    for place in outcome.kept:
        candidate, scores = outcome.candidates[place], outcome.scores[place]
        yield Pair(
            original_prompt=request.original_prompt,
            edit_prompt=request.edit_prompt,
            edited_prompt=request.edited_prompt,
            original_image=Image.fromarray(candidate.original),
            edited_image=Image.fromarray(candidate.edited),
            seed=candidate.seed,
            kind=request.kind,
            method=settings.method,
            conditioning_scale=candidate.conditioning_scale,
            attention_fraction=candidate.attention_fraction,
            guidance_scale=candidate.guidance_scale,
            num_inference_steps=candidate.num_inference_steps,
            model=model_ids(settings),
            clip_original=scores.clip_original,
            clip_edited=scores.clip_edited,
            clip_image=scores.clip_image,
            clip_direction=scores.clip_direction,
        ).to_row()


def _groups(rows: Sequence[Row], settings: PairsSettings) -> Iterator[Sequence[Row]]:
    """Rows whose candidates fill a few batches, so that memory holds one group's pictures."""
    at_once = max(1, GROUP * settings.batch_size // settings.per_row)
    for start in range(0, len(rows), at_once):
        yield rows[start : start + at_once]
