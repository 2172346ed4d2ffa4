"""Every metric of a batch of edited pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overpaint.evaluation.accuracy import PSNR_CEILING
from overpaint.evaluation.cases import Case
from overpaint.evaluation.embedding import Dino
from overpaint.evaluation.pixelwise import Pixels, l1_distance, l2_distance
from overpaint.evaluation.retrieval import is_retrieved, psnr
from overpaint.models.clip import Clip, directional_similarity

Scores = dict[str, float | None]


@dataclass(frozen=True)
class Metric:
    """What a score means, for the report."""

    name: str
    title: str
    better: Literal["higher", "lower"]
    unit: str
    description: str


# The first of these that the data allows is the headline of the report.
METRICS = (
    Metric("retrieval", "target retrieval@1", "higher", "share",
           "How often a right answer is, by mean squared error, the nearest of 32 candidates: "
           "the unedited picture, the targets of other instructions on the same scene, and other "
           "scenes' targets are the others."),
    Metric("untouched_psnr", "PSNR of untouched pixels", "higher", "dB",
           f"Over the pixels that the edit should leave alone; equal pixels count as "
           f"{PSNR_CEILING:.0f} dB."),
    Metric("l1", "L1 to the target", "lower", "",
           "Mean absolute difference to the nearest right answer, pixels in [0, 1]."),
    Metric("l2", "L2 to the target", "lower", "",
           "Mean squared difference to the nearest right answer, pixels in [0, 1]."),
    Metric("clip_direction", "CLIP directional similarity", "higher", "",
           "Cosine between the change of the picture and the change of the caption (2211.09800, "
           "section 3.1.2); 0 for a picture that did not change."),
    Metric("clip_image", "CLIP image similarity", "higher", "",
           "Cosine between the picture before and after: how much was kept. A picture returned "
           "unedited has 1, so read it beside the directional similarity."),
    Metric("clip_text", "CLIP text similarity", "higher", "",
           "Cosine between the edited picture and the caption after the edit."),
    Metric("clip_target", "CLIP similarity to the target", "higher", "",
           "Cosine between the edited picture and the right answer (CLIP-I of 2306.10012)."),
    Metric("dino_image", "DINO similarity", "higher", "",
           "Cosine between the picture before and after, class tokens of DINO."),
    Metric("dino_target", "DINO similarity to the target", "higher", "",
           "Cosine between the edited picture and the right answer, class tokens of DINO."),
)  # fmt: skip
METRIC = {metric.name: metric for metric in METRICS}


@dataclass
class Scorer:
    """Computes what the cases and the models at hand allow; the rest is None."""

    clip: Clip | None = None
    dino: Dino | None = None

    def score(self, cases: Sequence[Case], edited: Sequence[Image.Image]) -> list[Scores]:
        """One table of scores a case, in their order; `edited` are of the originals' sizes."""
        pixels = [np.asarray(picture) for picture in edited]
        targets = [
            nearest_target(case, after) if case.targets else None
            for case, after in zip(cases, pixels, strict=True)
        ]
        rows = list(map(_pixel_scores, cases, pixels, targets))
        if self.clip is not None and cases:
            _join(rows, _clip_scores(self.clip, cases, edited, targets))
        if self.dino is not None and cases:
            _join(rows, _dino_scores(self.dino, cases, edited, targets))
        return [{metric.name: row.get(metric.name) for metric in METRICS} for row in rows]


def _pixel_scores(case: Case, edited: Pixels, target: Pixels | None) -> Scores:
    scores: Scores = {}
    if target is not None:
        scores |= {"l1": l1_distance(edited, target), "l2": l2_distance(edited, target)}
    if case.wrong is not None:
        scores["retrieval"] = float(is_retrieved(edited, case.targets, case.wrong()))
    if case.untouched is not None:
        kept = psnr(edited, np.asarray(case.original), case.untouched)
        scores["untouched_psnr"] = None if kept is None else min(kept, PSNR_CEILING)
    return scores


def nearest_target(case: Case, edited: Pixels) -> Pixels:
    """The right answer that is nearest to the edited picture by mean squared error."""
    if len(case.targets) == 1:
        return case.targets[0]
    return min(case.targets, key=lambda target: l2_distance(edited, target))


def _clip_scores(
    clip: Clip,
    cases: Sequence[Case],
    edited: Sequence[Image.Image],
    targets: Sequence[Pixels | None],
) -> list[Scores]:
    before, after = clip.images([case.original for case in cases]), clip.images(edited)
    rows: list[Scores] = [{"clip_image": float(cosine)} for cosine in (before * after).sum(-1)]

    said = [i for i, case in enumerate(cases) if case.edited_prompt]
    if said:
        captions = clip.texts([str(cases[i].edited_prompt) for i in said])
        for i, cosine in zip(said, (after[said] * captions).sum(-1), strict=True):
            rows[i]["clip_text"] = float(cosine)
    both = [i for i in said if cases[i].original_prompt]
    if both:
        now = clip.texts([str(cases[i].edited_prompt) for i in both])
        then = clip.texts([str(cases[i].original_prompt) for i in both])
        cosines = directional_similarity(before[both], after[both], then, now)
        for i, cosine in zip(both, cosines, strict=True):
            rows[i]["clip_direction"] = float(cosine)
    _join(rows, _to_targets("clip_target", clip, targets, after))
    return rows


def _dino_scores(
    dino: Dino,
    cases: Sequence[Case],
    edited: Sequence[Image.Image],
    targets: Sequence[Pixels | None],
) -> list[Scores]:
    before, after = dino.images([case.original for case in cases]), dino.images(edited)
    rows: list[Scores] = [{"dino_image": float(cosine)} for cosine in (before * after).sum(-1)]
    _join(rows, _to_targets("dino_target", dino, targets, after))
    return rows


def _to_targets(
    name: str, model: Clip | Dino, targets: Sequence[Pixels | None], after: Tensor
) -> list[Scores]:
    """Cosine to the right answer; of several the one that is nearest in pixels."""
    known = {i: Image.fromarray(target) for i, target in enumerate(targets) if target is not None}
    rows: list[Scores] = [{} for _ in targets]
    if known:
        embedded = model.images(list(known.values()))
        cosines = (after[torch.tensor(list(known))] * embedded).sum(-1)
        for i, cosine in zip(known, cosines, strict=True):
            rows[i][name] = float(cosine)
    return rows


def _join(rows: list[Scores], more: list[Scores]) -> None:
    for row, extra in zip(rows, more, strict=True):
        row |= extra
