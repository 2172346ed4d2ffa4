"""The trade-off between following the instruction and keeping the picture (2211.09800, Figure 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from overpaint.editing import Editor
from overpaint.evaluation.cases import Case
from overpaint.evaluation.kept import kept_result
from overpaint.evaluation.runs import SamplingSettings, edit_cases
from overpaint.evaluation.scoring import Scorer
from overpaint.evaluation.settings import IMAGE_SCALES
from overpaint.metrics.definitions import METRICS
from overpaint.metrics.intervals import estimate
from overpaint.progress import track
from overpaint.report.sections import CurvePoint


def trade_off(
    editor: Editor,
    cases: Sequence[Case],
    scorer: Scorer,
    settings: SamplingSettings,
    folder: Path,
    origin: Mapping[str, Any],
    *,
    image_scales: Sequence[float] = IMAGE_SCALES,
    text_scales: Sequence[float] = (),
) -> list[CurvePoint]:
    """The metrics of the same cases, with the same noise, at every pair of scales.

    Args:
        editor, cases, scorer, settings: see `runs.CaseStage`.
        folder: each point is kept there when it is made, so a rerun makes those that are missing.
        origin: what the points are made from, but for the scales; see `kept.kept_result`.
        image_scales: s_I; text_scales: s_T, the settings' or the model's own where empty.

    Returns:
        One point a pair, s_I growing fastest.
    """
    own = settings.guidance_scale
    if own is None:
        own = editor.card.defaults.guidance_scale
    pairs = [(text, image) for text in text_scales or (own,) for image in image_scales]

    def point(text: float, image: float) -> CurvePoint:
        scales = {"guidance_scale": text, "image_guidance_scale": image}
        edited = edit_cases(editor, cases, settings.model_copy(update=scales))
        good = [(case, e) for case, e in zip(cases, edited, strict=True) if not _failed(e)]
        rows = scorer.score([case for case, _ in good], [e for _, e in good])  # type: ignore[misc]
        found = {m.name: estimate([row[m.name] for row in rows], share=m.is_share) for m in METRICS}
        known = {name: value for name, value in found.items() if value is not None}
        return CurvePoint(scores=known, **scales)

    points = []
    for text, image in track(pairs, "trade-off curve"):
        made_from = {**origin, "cases taken": [case.key for case in cases], "scales": [text, image]}
        kept = kept_result(folder, made_from, lambda t=text, i=image: point(t, i).model_dump())  # type: ignore[misc]
        points.append(CurvePoint.model_validate(kept))
    return points


def _failed(edited: object) -> bool:
    return not isinstance(edited, Image.Image)
