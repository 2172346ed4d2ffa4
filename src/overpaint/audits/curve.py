"""The trade-off between following the instruction and keeping the picture (2211.09800, Figure 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image

from overpaint.audits.settings import IMAGE_SCALES, CurveSettings
from overpaint.evaluation.audit import AuditContext
from overpaint.evaluation.cache import cached_result
from overpaint.evaluation.cases import Case
from overpaint.evaluation.edits import edit_cases
from overpaint.metrics.definitions import METRICS
from overpaint.metrics.intervals import estimate
from overpaint.progress import track
from overpaint.report.sections import CurvePoint, Findings


@dataclass(frozen=True)
class TradeOffCurve:
    """The metrics of the first cases at every pair of guidance scales."""

    settings: CurveSettings
    name: ClassVar[str] = "curve"

    @classmethod
    def asked_for(cls, settings: CurveSettings) -> TradeOffCurve | None:
        """None where the settings do not ask for it."""
        return cls(settings) if settings.curve else None

    def origin(self) -> dict[str, Any]:
        """See `Audit`."""
        return {
            "curve_cases": self.settings.curve_cases,
            "image_scales": self.settings.curve_image_scales,
            "text_scales": self.settings.curve_text_scales,
        }

    def examine(self, context: AuditContext) -> Findings:
        """See `Audit`; nothing without a CLIP, by which the curve is plotted."""
        if context.scorer.clip is None:
            context.note("The trade-off curve was left out: it needs a CLIP (--clip).")
            return Findings()
        points = trade_off(
            context,
            context.cases.first(self.settings.curve_cases),
            image_scales=self.settings.curve_image_scales,
            text_scales=self.settings.curve_text_scales,
        )
        return Findings(curve=points)


def trade_off(
    context: AuditContext,
    cases: Sequence[Case],
    *,
    image_scales: Sequence[float] = IMAGE_SCALES,
    text_scales: Sequence[float] = (),
) -> list[CurvePoint]:
    """The metrics of the same cases, with the same noise, at every pair of scales.

    Each point is stored when it is made, so a rerun makes those that are missing.

    Args:
        image_scales: s_I.
        text_scales: s_T; where there is none the settings' own, or else the model's.

    Returns:
        One point a pair, s_I growing fastest.
    """
    own = context.sampling.guidance_scale
    if own is None:
        own = context.editor.card.defaults.guidance_scale
    pairs = [(text, image) for text in text_scales or (own,) for image in image_scales]
    keys = [case.key for case in cases]
    points = []
    for text, image in track(pairs, "trade-off curve"):
        origin = {**context.origin, "cases taken": keys, "scales": [text, image]}
        stored = cached_result(
            context.folder / "curve",
            origin,
            lambda t=text, i=image: _point(context, cases, t, i).model_dump(),  # type: ignore[misc]
        )
        points.append(CurvePoint.model_validate(stored))
    return points


def _point(context: AuditContext, cases: Sequence[Case], text: float, image: float) -> CurvePoint:
    """The metrics at one pair of scales, over the cases that could be edited."""
    scales = {"guidance_scale": text, "image_guidance_scale": image}
    edited = edit_cases(context.editor, cases, context.sampling.model_copy(update=scales))
    pairs = zip(cases, edited, strict=True)
    good = [(case, picture) for case, picture in pairs if isinstance(picture, Image.Image)]
    rows = context.scorer.score([case for case, _ in good], [picture for _, picture in good])
    found = {
        m.name: estimate([row[m.name] for row in rows], share=m.is_share, bounds=m.bounds)
        for m in METRICS
    }
    known = {name: value for name, value in found.items() if value is not None}
    return CurvePoint(scores=known, **scales)
