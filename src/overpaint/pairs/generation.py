"""One shard of pairs: candidates sampled, scored and chosen, some rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overpaint.engine import Done, Made, Row
from overpaint.html.rendering import data_address
from overpaint.models.clip import Clip, load_clip
from overpaint.models.text_to_image import load_text_to_image
from overpaint.pairs.candidates import Candidate, ScoredRow
from overpaint.pairs.scores import Scores, choose, failures, is_below, rank, score_vectors
from overpaint.pairs.settings import PairsSettings
from overpaint.pairs.statistics import OTHERS_BETTER, add, count
from overpaint.rows import TRIPLET_COLUMNS, Pair, Triplet
from overpaint.shards import row_seed

GROUP = 10  # batches of candidates that are made before they are scored
SHOWN_CANDIDATES = 6  # of a row on the page
SHOWN_SIDE = 224  # pixels of a picture on the page, at most


class CandidateMethod(Protocol):
    """A way to make candidates: ControlNet, Prompt-to-Prompt."""

    def draw_sources(
        self, triplets: Sequence[Triplet], seeds: Sequence[int]
    ) -> list[np.ndarray] | None:
        """The picture of each original caption, uint8 (H, W, 3), that all candidates of the row
        share; None where each candidate has one of its own."""

    def draw_candidates(
        self, triplets: Sequence[Triplet], seeds: Sequence[int], sources: Any
    ) -> list[list[Candidate]]:
        """The candidates of each row; `sources` are those of `draw_sources`."""


@dataclass
class PairGenerator:
    """What the engine runs on a shard: rows → pairs, and what became of the rows."""

    settings: PairsSettings
    clip: Clip
    method: CandidateMethod
    shown: Collection[str]
    """keys of the rows that the page shows"""

    def __call__(self, rows: Sequence[Row], done: Done) -> Made:
        """The pairs of one shard."""
        pairs, tallies = [], []
        for group in _groups(rows, self.settings):
            scored = self._judge(group)
            pairs += [pair for row in scored for pair in pair_rows(row, self.settings)]
            counts = count(scored, self.settings)
            counts.shown = [
                page_row(found, self.settings)
                for row, found in zip(group, scored, strict=True)
                if row["key"] in self.shown
            ]
            tallies.append(counts.to_dict())
            done(len(group))
        return Made(pairs, add(tallies).to_dict())

    def _judge(self, rows: Sequence[Row]) -> list[ScoredRow]:
        """Sample, score and choose; what becomes of each row."""
        triplets = [Triplet.from_row(row) for row in rows]
        seeds = [row_seed(self.settings.seed, row["key"]) for row in rows]
        embeddings = Embeddings(self.clip)
        sources = self.method.draw_sources(triplets, seeds)
        if sources is None:
            candidates = self.method.draw_candidates(triplets, seeds, None)
            return self._choose(embeddings, triplets, candidates)
        least = self.settings.thresholds.clip_original
        ended = {
            i: ScoredRow(triplets[i], source=sources[i], clip_original=score)
            for i, score in enumerate(source_scores(embeddings, triplets, sources))
            if is_below(score, least)
        }
        # Of rows that end here no candidate is paid for.
        left = [i for i in range(len(rows)) if i not in ended]
        candidates = self.method.draw_candidates(
            [triplets[i] for i in left], [seeds[i] for i in left], [sources[i] for i in left]
        )
        chosen = iter(self._choose(embeddings, [triplets[i] for i in left], candidates))
        return [ended[i] if i in ended else next(chosen) for i in range(len(rows))]

    def _choose(
        self,
        embeddings: Embeddings,
        triplets: Sequence[Triplet],
        candidates: Sequence[Sequence[Candidate]],
    ) -> list[ScoredRow]:
        scores = score_candidates(embeddings, triplets, candidates)
        thresholds, keep = self.settings.thresholds, self.settings.keep
        return [
            ScoredRow(triplet, own, found, choose(found, thresholds, keep))
            for triplet, own, found in zip(triplets, candidates, scores, strict=True)
        ]


def open_generator(
    settings: PairsSettings, device: torch.device, shown: Collection[str]
) -> PairGenerator:
    """Load the model, the method and the CLIP; `settings.dtype` is the number format to draw in.

    Raises:
        UserError: one of them is not there, is broken, or does not fit the others.
    """
    model = load_text_to_image(settings.model, settings.controlnet_model, device, settings.dtype)
    method: CandidateMethod
    if settings.method == "controlnet":
        from overpaint.pairs.controlnet import ControlNetMethod

        method = ControlNetMethod(model, settings)
    else:
        from overpaint.pairs.prompt_to_prompt import PromptToPromptMethod

        method = PromptToPromptMethod(model, settings)
    return PairGenerator(settings, load_clip(settings.judge, device), method, shown)


def pair_rows(row: ScoredRow, settings: PairsSettings) -> Iterator[dict[str, object]]:
    """The rows of the dataset that are kept of one triplet, best first."""
    for index in row.kept:
        candidate, spec = row.candidates[index], row.candidates[index].spec
        columns: dict[str, Any] = dict(row.scores[index])
        columns |= {name: getattr(row.triplet, name) for name in TRIPLET_COLUMNS}
        yield Pair(
            **columns,
            original_image=Image.fromarray(candidate.original),
            edited_image=Image.fromarray(candidate.edited),
            seed=spec.seed,
            kind=row.triplet.kind,
            method=settings.method,
            conditioning_scale=spec.conditioning_scale,
            attention_fraction=spec.attention_fraction,
            guidance_scale=spec.guidance_scale,
            num_inference_steps=settings.num_inference_steps,
            model=settings.model_ids,
        ).to_row()


@dataclass
class Embeddings:
    """The vectors of the pictures and texts of some rows; what comes again is not embedded again."""

    clip: Clip
    _texts: dict[str, Tensor] = field(default_factory=dict)
    _pictures: dict[int, Tensor] = field(default_factory=dict)
    _alive: list[np.ndarray] = field(default_factory=list)  # so that no id comes again

    def texts(self, texts: Sequence[str]) -> Tensor:
        """(n, d) of length 1, by what the texts say."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            self._texts.update(zip(new, self.clip.texts(new), strict=True))
        return torch.stack([self._texts[text] for text in texts])

    def pictures(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """(n, d) of length 1; uint8 (H, W, 3) arrays, known again by being the same object."""
        new = {id(p): p for p in pictures if id(p) not in self._pictures}
        if new:
            vectors = self.clip.images([Image.fromarray(picture) for picture in new.values()])
            self._pictures.update(zip(new, vectors, strict=True))
            self._alive += new.values()
        return torch.stack([self._pictures[id(picture)] for picture in pictures])


def source_scores(
    embeddings: Embeddings, triplets: Sequence[Triplet], sources: Sequence[np.ndarray]
) -> list[float]:
    """`clip_original` of each row: cos(source picture, original caption)."""
    captions = embeddings.texts([triplet.original_prompt for triplet in triplets])
    return (embeddings.pictures(sources) * captions).sum(-1).tolist()


def score_candidates(
    embeddings: Embeddings,
    triplets: Sequence[Triplet],
    candidates: Sequence[Sequence[Candidate]],
) -> list[list[Scores]]:
    """The scores of every candidate of every row, in their order."""
    flat = [(triplet, c) for triplet, row in zip(triplets, candidates, strict=True) for c in row]
    if not flat:
        return [[] for _ in candidates]
    before = embeddings.pictures([candidate.original for _, candidate in flat])
    after = embeddings.pictures([candidate.edited for _, candidate in flat])
    then = embeddings.texts([triplet.original_prompt for triplet, _ in flat])
    now = embeddings.texts([triplet.edited_prompt for triplet, _ in flat])
    scores = iter(score_vectors(before, after, then, now))
    return [[next(scores) for _ in row] for row in candidates]


def page_row(row: ScoredRow, settings: PairsSettings) -> dict[str, Any]:
    """A row as the page shows it (JSON values): its texts, what became of it, and its candidates,
    kept ones and best ones first."""
    triplet, scores = row.triplet, row.scores
    others = sorted(
        (index for index in range(len(scores)) if index not in row.kept),
        key=lambda index: (
            len(failures(scores[index], settings.thresholds)),
            -rank(scores[index]),
        ),
    )
    indices = [*row.kept, *others][:SHOWN_CANDIDATES]
    source = row.source
    if source is None and settings.method == "controlnet" and indices:
        source = row.candidates[0].original
    return {
        "original_prompt": triplet.original_prompt,
        "edit_prompt": triplet.edit_prompt,
        "edited_prompt": triplet.edited_prompt,
        "kind": triplet.kind,
        "outcome": row.outcome,
        "source": None if source is None else _picture(source),
        "clip_original": row.clip_original,
        "candidates": [_page_candidate(row, index, settings) for index in indices],
        "more": len(row.candidates) - len(indices),
    }


def _page_candidate(row: ScoredRow, index: int, settings: PairsSettings) -> dict[str, Any]:
    candidate, scores = row.candidates[index], row.scores[index]
    failed = failures(scores, settings.thresholds)
    own_source = settings.method != "controlnet"
    return {
        "original": _picture(candidate.original) if own_source else None,
        "edited": _picture(candidate.edited),
        "control": candidate.spec.control,
        "scores": {
            name: None if value is None else round(value, 4) for name, value in scores.items()
        },
        "kept": index in row.kept,
        "failed": failed,
        "why": None if failed or index in row.kept else OTHERS_BETTER,
    }


def _picture(pixels: np.ndarray) -> str:
    return data_address(Image.fromarray(pixels), SHOWN_SIDE)


def _groups(rows: Sequence[Row], settings: PairsSettings) -> Iterator[Sequence[Row]]:
    """Rows whose candidates fill a few batches, so that memory holds one group's pictures."""
    at_once = max(1, GROUP * settings.batch_size // settings.per_row)
    for start in range(0, len(rows), at_once):
        yield rows[start : start + at_once]
