"""The cases that the page shows: the best, the middle and the worst of a model, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from overpaint.evaluation.case_stage import read_edited
from overpaint.evaluation.cases import WITHOUT_KIND, Case, CaseSet
from overpaint.evaluation.scoring import nearest_target
from overpaint.html.rendering import data_address
from overpaint.report.page import ShownCase, scores_in_words
from overpaint.report.schema import CaseResult

SHOWN = 6  # cases of each group
_SCORES = ("retrieval", "l2", "untouched_psnr", "clip_direction", "clip_image")


def shown_cases(
    cases: CaseSet, results: Sequence[CaseResult], folder: Path
) -> dict[str, list[ShownCase]]:
    """Group by group; `folder` holds the edited pictures, see `case_stage.read_edited`."""
    ranked = sorted((r for r in results if r.left_out is None), key=_rank)
    groups = {"The best": ranked[:SHOWN]}
    if len(ranked) >= 3 * SHOWN:
        middle = (len(ranked) - SHOWN) // 2
        groups["The middle"] = ranked[middle : middle + SHOWN]
    if len(ranked) >= 2 * SHOWN:
        groups["The worst"] = ranked[-SHOWN:]
    chosen = [result.index for group in groups.values() for result in group]
    edited = read_edited(folder, cases.count, chosen)
    return {
        name: [_shown(cases.read(r.index), r, edited[r.index]) for r in group]
        for name, group in groups.items()
    }


def _rank(result: CaseResult) -> tuple[float, float]:
    """Best first: right before wrong, then nearest to the target, or most in its direction."""
    scores = result.scores
    distance = scores.get("l2")
    if distance is None:
        distance = -(scores.get("clip_direction") or scores.get("clip_text") or 0.0)
    return -(scores.get("retrieval") or 0.0), distance


def _shown(case: Case, result: CaseResult, edited: Image.Image) -> ShownCase:
    target = None
    if case.targets:
        target = data_address(Image.fromarray(nearest_target(case, np.asarray(edited))))
    return ShownCase(
        instruction=case.asked,
        kind=case.kind if case.kind != WITHOUT_KIND else "",
        before=data_address(case.original),
        after=data_address(edited),
        target=target,
        words=scores_in_words(result.scores, _SCORES),
    )
