"""The four scores, against a transcription of their equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from colours import TRIPLETS, ColourClip, ColourSources

from overpaint.pairs.generation import Embeddings, score_candidates, source_scores
from overpaint.pairs.scores import Thresholds, choose, failures, score_vectors
from overpaint.pairs.settings import PairsSettings
from overpaint.rows import Triplet


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_scores_by_hand() -> None:
    draw = torch.Generator().manual_seed(3)
    i0, i1, t0, t1 = (
        torch.nn.functional.normalize(torch.randn(5, 16, generator=draw), dim=-1) for _ in range(4)
    )
    for row, found in enumerate(score_vectors(i0, i1, t0, t1)):
        a, b, c, d = (vectors[row].double().numpy() for vectors in (i0, i1, t0, t1))
        wanted = [cosine(a, c), cosine(b, d), cosine(a, b), cosine(b - a, d - c)]
        assert list(found.values()) == pytest.approx(wanted, abs=1e-6)


def test_every_picture_and_text_is_embedded_once() -> None:
    settings = PairsSettings()
    triplets = [Triplet.from_row(row) for row in TRIPLETS[:6]]
    method, clip = ColourSources(settings), ColourClip()
    embeddings = Embeddings(clip)  # type: ignore[arg-type]
    sources = method.draw_sources(triplets, [0] * len(triplets))
    first = source_scores(embeddings, triplets, sources)
    found = score_candidates(
        embeddings, triplets, method.draw_candidates(triplets, [0] * len(triplets), sources)
    )
    assert len(clip.pictures) == 6 + 6 * 5
    assert len(clip.words) == len(set(clip.words)) == 3
    assert [row[0]["clip_original"] for row in found] == first


def test_scores_are_those_of_their_own_row_and_candidate() -> None:
    settings = PairsSettings(controlnet_conditioning_scales=(0.0, 1.0))
    triplets = [Triplet.from_row(row) for row in TRIPLETS[:2]]
    method = ColourSources(settings)
    sources = method.draw_sources(triplets, [0] * len(triplets))
    candidates = method.draw_candidates(triplets, [0] * len(triplets), sources)
    found = score_candidates(Embeddings(ColourClip()), triplets, candidates)  # type: ignore[arg-type]
    for edited, kept in found:
        assert (
            edited["clip_direction"] > 0.99 > 0.2 > edited["clip_image"]
        )  # another colour altogether
        assert kept["clip_image"] > 0.99 > 0.2 > kept["clip_edited"]  # the colour it had


def test_equal_captions_have_no_direction_and_come_last() -> None:
    """None, not a number of rounding: it passes no threshold of direction, and none asks for it."""
    row = {"original_prompt": "a red car", "edit_prompt": "x", "edited_prompt": "a red car"}
    triplets = [Triplet.from_row(row)]
    settings = PairsSettings(controlnet_conditioning_scales=(0.0, 1.0))
    method = ColourSources(settings)
    drawn = method.draw_candidates(
        triplets, [0] * len(triplets), method.draw_sources(triplets, [0] * len(triplets))
    )
    ((first, *_),) = score_candidates(Embeddings(ColourClip()), triplets, drawn)  # type: ignore[arg-type]
    assert first["clip_direction"] is None
    asks = Thresholds(clip_edited=None, clip_image=None, clip_direction=0.0)
    assert failures(first, asks) == ["clip_direction"]
    free = Thresholds(clip_edited=None, clip_image=None, clip_direction=None)
    assert failures(first, free) == []
    assert choose([first, {**first, "clip_direction": -0.2}], free, keep=2) == [1, 0]


def test_rows_without_candidates_have_no_scores() -> None:
    triplets = [Triplet.from_row(TRIPLETS[0])]
    assert score_candidates(Embeddings(ColourClip()), triplets, [[]]) == [[]]  # type: ignore[arg-type]
