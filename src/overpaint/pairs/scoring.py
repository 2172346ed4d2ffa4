"""The four CLIP scores of a pair (2211.09800, section 3.1.2), each picture and text embedded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from overpaint.metrics.embedding import directional_similarity
from overpaint.models.clip import Clip
from overpaint.pairs.choice import Scores
from overpaint.pairs.requests import Candidate, Request

if TYPE_CHECKING:
    import numpy as np


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
    embeddings: Embeddings, requests: Sequence[Request], sources: Sequence[np.ndarray]
) -> list[float]:
    """`clip_original` of each row: cos(source picture, original caption)."""
    captions = embeddings.texts([request.original_prompt for request in requests])
    return _dot(embeddings.pictures(sources), captions)


def score_candidates(
    embeddings: Embeddings,
    requests: Sequence[Request],
    candidates: Sequence[Sequence[Candidate]],
) -> list[list[Scores]]:
    """The four scores of every candidate of every row, in their order."""
    flat = [(request, c) for request, row in zip(requests, candidates, strict=True) for c in row]
    if not flat:
        return [[] for _ in candidates]
    before = embeddings.pictures([candidate.original for _, candidate in flat])
    after = embeddings.pictures([candidate.edited for _, candidate in flat])
    then = embeddings.texts([request.original_prompt for request, _ in flat])
    now = embeddings.texts([request.edited_prompt for request, _ in flat])
    scores = iter(four_scores(before, after, then, now))
    return [[next(scores) for _ in row] for row in candidates]


def four_scores(
    before: Tensor, after: Tensor, caption_before: Tensor, caption_after: Tensor
) -> list[Scores]:
    """The scores of n pairs, from the (n, d) vectors of length 1 of pictures and captions."""
    directions = directional_similarity(before, after, caption_before, caption_after).tolist()
    columns = (
        _dot(before, caption_before),
        _dot(after, caption_after),
        _dot(before, after),
        [None if isnan(direction) else direction for direction in directions],
    )
    return [Scores(*row) for row in zip(*columns, strict=True)]


def _dot(a: Tensor, b: Tensor) -> list[float]:
    return (a * b).sum(-1).tolist()
