"""What any editor is measured against: the pictures as they came, scored as if they were the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from overpaint.artifact import Artifact
from overpaint.engine import Engine, Stage
from overpaint.errors import UserError
from overpaint.evaluation.cache import folder_of
from overpaint.evaluation.case_stage import CaseStage, run_cases
from overpaint.evaluation.cases import Case, CaseSet
from overpaint.evaluation.scoring import Scorer
from overpaint.report.build import model_report
from overpaint.report.schema import UNEDITED, ModelReport


def baseline_stage(cases: CaseSet, scorer: Scorer) -> CaseStage:
    """Scores the pictures as they came; no setting of a model's counts."""

    def read(index: int) -> Case:
        case = cases.read(index)
        if case.wrong is None:
            return case
        # Of the wrong candidates the unedited picture is the nearest to itself: no other is drawn.
        return replace(case, wrong=lambda: [np.asarray(case.original)])

    return CaseStage(_return_the_input, replace(cases, read=read), scorer)


def score_baseline(
    open_stage: Callable[[], Stage],
    cases: CaseSet,
    folder: Path,
    basis: Mapping[str, Any],
    engine: Engine | None,
) -> ModelReport:
    """The row "return the input" of a report; `open_stage` gives a `baseline_stage`.

    Its scores lie in `folder`; of `basis` (see `evaluate.basis_of`) the cases and judges count.
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


def _return_the_input(cases: Sequence[Case]) -> list[Image.Image | UserError]:
    return [case.original for case in cases]
