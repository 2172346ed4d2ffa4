"""Target retrieval@1: is the right answer the candidate that is nearest to the edited picture?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from overpaint.metrics.pixelwise import Pixels, mean_squared_error


def is_retrieved(edited: Pixels, right: Sequence[Pixels], wrong: Sequence[Pixels]) -> bool:
    """Whether the candidate nearest to `edited` by mean squared error is a right answer.

    A tie between a right and a wrong picture counts as not retrieved.
    """
    nearest_wrong = min((mean_squared_error(edited, other) for other in wrong), default=np.inf)
    return min(mean_squared_error(edited, target) for target in right) < nearest_wrong
