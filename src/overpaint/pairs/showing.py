"""Rows as the page shows them: small pictures, scores and reasons, as JSON values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image

from overpaint.html.rendering import data_address
from overpaint.pairs.choice import failures
from overpaint.pairs.tallies import OTHERS_BETTER, SHOWN_CANDIDATES, Outcome, control

if TYPE_CHECKING:
    import numpy as np

    from overpaint.pairs.settings import PairsSettings

SIDE = 224  # pixels, at most


def shown_row(outcome: Outcome, settings: PairsSettings) -> dict[str, Any]:
    """One row: its texts, what became of it, and its candidates, kept ones and best ones first."""
    request = outcome.request
    scores = outcome.scores
    others = sorted(
        (place for place in range(len(scores)) if place not in outcome.kept),
        key=lambda place: (
            len(failures(scores[place], settings.thresholds)),
            -scores[place].rank,
        ),
    )
    places = [*outcome.kept, *others][:SHOWN_CANDIDATES]
    source = outcome.source
    if source is None and settings.method == "controlnet" and places:
        source = outcome.candidates[0].original
    return {
        "original_prompt": request.original_prompt,
        "edit_prompt": request.edit_prompt,
        "edited_prompt": request.edited_prompt,
        "kind": request.kind,
        "outcome": outcome.word,
        "source": None if source is None else _picture(source),
        "clip_original": outcome.clip_original,
        "candidates": [_candidate(outcome, place, settings) for place in places],
        "more": len(outcome.candidates) - len(places),
    }


def _candidate(outcome: Outcome, place: int, settings: PairsSettings) -> dict[str, Any]:
    candidate, scores = outcome.candidates[place], outcome.scores[place]
    failed = failures(scores, settings.thresholds)
    own_source = settings.method != "controlnet"
    return {
        "original": _picture(candidate.original) if own_source else None,
        "edited": _picture(candidate.edited),
        "control": control(candidate),
        "scores": {
            name: None if value is None else round(value, 4)
            for name, value in scores.to_dict().items()
        },
        "kept": place in outcome.kept,
        "failed": failed,
        "why": None if failed or place in outcome.kept else OTHERS_BETTER,
    }


def _picture(pixels: np.ndarray) -> str:
    return data_address(Image.fromarray(pixels), SIDE)
