"""Every metric of a batch of edited pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overpaint.evaluation.cases import Case
from overpaint.metrics.definitions import METRICS
from overpaint.metrics.embedding import cosine_similarity, directional_similarity
from overpaint.metrics.pixelwise import TO_TARGET, Pixels, capped_psnr, l2_distance
from overpaint.metrics.retrieval import is_retrieved
from overpaint.models.clip import Clip
from overpaint.models.dino import Dino

Scores = dict[str, float | None]


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
        scores |= {name: distance(edited, target) for name, distance in TO_TARGET.items()}
    if case.wrong is not None:
        scores["retrieval"] = float(is_retrieved(edited, case.targets, case.wrong()))
    if case.untouched is not None:
        original = np.asarray(case.original)
        scores["untouched_psnr"] = capped_psnr(edited, original, case.untouched)
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
    rows: list[Scores] = [{"clip_image": cosine} for cosine in cosine_similarity(before, after)]

    said = [i for i, case in enumerate(cases) if case.edited_prompt]
    if said:
        captions = clip.texts([str(cases[i].edited_prompt) for i in said])
        for i, cosine in zip(said, cosine_similarity(after[said], captions), strict=True):
            rows[i]["clip_text"] = cosine
    directed = [i for i in said if _has_direction(cases[i])]
    if directed:
        now = clip.texts([str(cases[i].edited_prompt) for i in directed])
        then = clip.texts([str(cases[i].original_prompt) for i in directed])
        cosines = directional_similarity(before[directed], after[directed], then, now)
        for i, cosine in zip(directed, cosines.tolist(), strict=True):
            if isnan(cosine):
                continue
            # An unchanged picture has no direction, and not that of a rounding error.
            same = np.array_equal(np.asarray(cases[i].original), np.asarray(edited[i]))
            rows[i]["clip_direction"] = 0.0 if same else cosine
    _join(rows, _to_targets("clip_target", clip, targets, after))
    return rows


def _has_direction(case: Case) -> bool:
    """Whether both captions are there and differ: equal ones say of no direction."""
    then, now = case.original_prompt, case.edited_prompt
    return bool(then and now) and str(then).split() != str(now).split()


def _dino_scores(
    dino: Dino,
    cases: Sequence[Case],
    edited: Sequence[Image.Image],
    targets: Sequence[Pixels | None],
) -> list[Scores]:
    before, after = dino.images([case.original for case in cases]), dino.images(edited)
    rows: list[Scores] = [{"dino_image": cosine} for cosine in cosine_similarity(before, after)]
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
        cosines = cosine_similarity(after[torch.tensor(list(known))], embedded)
        for i, cosine in zip(known, cosines, strict=True):
            rows[i][name] = cosine
    return rows


def _join(rows: list[Scores], more: list[Scores]) -> None:
    for row, extra in zip(rows, more, strict=True):
        row |= extra
