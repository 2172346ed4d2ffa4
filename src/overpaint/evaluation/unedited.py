"""What any editor is measured against: the input returned as it came; and what it has seen before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from overpaint.artifact import Artifact
from overpaint.editing import Edit, Editor
from overpaint.engine import Engine, Stage
from overpaint.errors import UserError
from overpaint.evaluation.cases import Case, CaseSet
from overpaint.evaluation.kept import folder_of
from overpaint.evaluation.runs import CaseStage, SamplingSettings, run_cases
from overpaint.evaluation.scoring import Scorer
from overpaint.models.train_rows import read_train_rows, row_digest
from overpaint.report.schema import UNEDITED, ModelReport, model_report


class ReturnsTheInput:
    """In the place of an `Editor`: does nothing, so that it scores what doing nothing scores."""

    def edit_pairs(
        self,
        images: Sequence[Image.Image],
        instructions: Sequence[str],
        *,
        seed: Sequence[int],
        **_: object,
    ) -> list[Edit]:
        """The pictures themselves."""
        rows = zip(images, instructions, seed, strict=True)
        return [Edit(image, text, number, 1.0, 1.0) for image, text, number in rows]


def unedited_stage(cases: CaseSet, scorer: Scorer) -> CaseStage:
    """Scores the pictures as they came; no setting of a model's counts."""

    def read(index: int) -> Case:
        case = cases.read(index)
        if case.wrong is None:
            return case
        # Of the wrong candidates the unedited picture is the nearest to itself: no other is drawn.
        return replace(case, wrong=lambda: [np.asarray(case.original)])

    nothing = cast(Editor, ReturnsTheInput())
    return CaseStage(nothing, replace(cases, read=read), scorer, SamplingSettings())


def score_unedited(
    open_stage: Callable[[], Stage],
    cases: CaseSet,
    folder: Path,
    basis: Mapping[str, Any],
    engine: Engine | None,
) -> ModelReport:
    """The row "return the input" of a report; `open_stage` gives an `unedited_stage`.

    Its scores are kept in `folder`; of `basis` (see `origin.basis_of`) the cases and judges count.
    """
    origin = {
        "stage": "cases",
        "model": UNEDITED,
        "cases": basis["cases"],
        "judges": basis["judges"],
    }
    place = folder_of(folder, origin)
    results = run_cases(open_stage, cases, Artifact(place, origin, place / "data"), engine)
    return model_report(UNEDITED, UNEDITED, None, {}, results)


def seen_in_training(model: str, cases: CaseSet) -> list[str] | None:
    """Keys of the cases whose picture and instruction the model was trained on; None: not known.

    Raises:
        UserError: the model's list of training pairs is broken.
    """
    rows = read_train_rows(model)
    if rows is None:
        return None
    seen = []
    for index in range(cases.count):
        try:
            case = cases.read(index)
        except UserError:
            continue  # it is left out of the evaluation
        if row_digest(case.original, (*case.earlier, case.instruction)[0]) in rows:
            seen.append(case.key)
    return seen
