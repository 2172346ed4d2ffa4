"""The four scores, against a transcription of their equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from colours import TRIPLETS, ColourClip, ColourSources

from overpaint.pairs.making import request_of
from overpaint.pairs.scoring import Embeddings, four_scores, score_candidates, source_scores
from overpaint.pairs.settings import PairsSettings


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_scores_by_hand() -> None:
    draw = torch.Generator().manual_seed(3)
    i0, i1, t0, t1 = (
        torch.nn.functional.normalize(torch.randn(5, 16, generator=draw), dim=-1) for _ in range(4)
    )
    for row, found in enumerate(four_scores(i0, i1, t0, t1)):
        a, b, c, d = (vectors[row].double().numpy() for vectors in (i0, i1, t0, t1))
        wanted = [cosine(a, c), cosine(b, d), cosine(a, b), cosine(b - a, d - c)]
        assert list(found.to_dict().values()) == pytest.approx(wanted, abs=1e-6)


def test_every_picture_and_text_is_embedded_once() -> None:
    settings = PairsSettings()
    requests = [request_of({**row, "key": "00"}, 0) for row in TRIPLETS[:6]]
    method, clip = ColourSources(settings), ColourClip()
    embeddings = Embeddings(clip)  # type: ignore[arg-type]
    sources = method.draw_sources(requests)
    first = source_scores(embeddings, requests, sources)
    found = score_candidates(embeddings, requests, method.draw_candidates(requests, sources))
    assert len(clip.pictures) == 6 + 6 * 5
    assert len(clip.words) == len(set(clip.words)) == 3
    assert [row[0].clip_original for row in found] == first


def test_scores_are_those_of_their_own_row_and_candidate() -> None:
    settings = PairsSettings(controlnet_conditioning_scales=(0.0, 1.0))
    requests = [request_of({**row, "key": "00"}, 0) for row in TRIPLETS[:2]]
    method = ColourSources(settings)
    sources = method.draw_sources(requests)
    candidates = method.draw_candidates(requests, sources)
    found = score_candidates(Embeddings(ColourClip()), requests, candidates)  # type: ignore[arg-type]
    for edited, kept in found:
        assert edited.clip_direction > 0.99 > 0.2 > edited.clip_image  # another colour altogether
        assert kept.clip_image > 0.99 > 0.2 > kept.clip_edited  # the colour it had


def test_rows_without_candidates_have_no_scores() -> None:
    requests = [request_of({**TRIPLETS[0], "key": "00"}, 0)]
    assert score_candidates(Embeddings(ColourClip()), requests, [[]]) == [[]]  # type: ignore[arg-type]
