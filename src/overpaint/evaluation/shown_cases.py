"""The cases that the page shows: the best, the middle and the worst, each with all models' pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from overpaint.evaluation.case_stage import read_edited
from overpaint.evaluation.cases import WITHOUT_KIND, CaseSet
from overpaint.evaluation.scoring import nearest_target
from overpaint.html.rendering import data_address
from overpaint.report.page import ShownCase, ShownEdit, scores_in_words
from overpaint.report.schema import CaseResult

SHOWN = 6  # cases of each group
_WITH_TARGET = ("retrieval", "l2", "untouched_psnr")
_WITHOUT_TARGET = ("clip_direction", "clip_image", "clip_text")

Results = Mapping[str, tuple[Sequence[CaseResult], Path]]
"""By a model's label: what it made of the cases, and the folder of its edited pictures."""


def shown_cases(cases: CaseSet, results: Results) -> dict[str, list[ShownCase]]:
    """Group by group, the cases that no model left out; see `case_stage.read_edited` for the folders."""
    scored = {
        label: {one.index: one for one in found if one.left_out is None}
        for label, (found, _) in results.items()
    }
    groups = _groups(_places(list(scored.values())))
    chosen = sorted({index for group in groups.values() for index in group})
    edited = {
        label: read_edited(folder, cases.count, chosen) for label, (_, folder) in results.items()
    }

    def shown(index: int) -> ShownCase:
        case = cases.read(index)
        names = _WITH_TARGET if case.targets else _WITHOUT_TARGET
        edits = {
            label: ShownEdit(
                data_address(edited[label][index]),
                scores_in_words(scored[label][index].scores, names),
            )
            for label in results
        }
        target = None
        if case.targets:  # of several, the one that the first model comes nearest to
            first = np.asarray(edited[next(iter(results))][index])
            target = data_address(Image.fromarray(nearest_target(case, first)))
        kind = case.kind if case.kind != WITHOUT_KIND else ""
        return ShownCase(case.asked, kind, data_address(case.original), edits, target)

    return {name: [shown(index) for index in group] for name, group in groups.items()}


def _places(models: Sequence[Mapping[int, CaseResult]]) -> dict[int, list[int]]:
    """A case's place (0 is the best) with each model, over the cases that all have."""
    shared = set.intersection(*(set(found) for found in models)) if models else set()
    places: dict[int, list[int]] = {index: [] for index in sorted(shared)}
    for found in models:
        for place, index in enumerate(sorted(places, key=lambda i: _rank(found[i]))):
            places[index].append(place)
    return places


def _groups(places: Mapping[int, Sequence[int]]) -> dict[str, list[int]]:
    """Cases by their mean place over the models, and those whose places are furthest apart."""
    ranked = sorted(places, key=lambda index: sum(places[index]))
    groups = {"The best": ranked[:SHOWN]}
    if len(ranked) >= 3 * SHOWN:
        middle = (len(ranked) - SHOWN) // 2
        groups["The middle"] = ranked[middle : middle + SHOWN]
    if len(ranked) >= 2 * SHOWN:
        groups["The worst"] = ranked[-SHOWN:]
    apart = {index: max(found) - min(found) for index, found in places.items()}
    differing = sorted((i for i in ranked if apart[i]), key=lambda index: -apart[index])
    if len(ranked) >= 2 * SHOWN and differing:
        groups["Where the models differ most"] = differing[:SHOWN]
    return {name: group for name, group in groups.items() if group}


def _rank(result: CaseResult) -> tuple[float, float]:
    """Best first: right before wrong, then nearest to the target, or most in its direction."""
    scores = result.scores
    distance = scores.get("l2")
    if distance is None:
        distance = -(scores.get("clip_direction") or scores.get("clip_text") or 0.0)
    return -(scores.get("retrieval") or 0.0), distance
