"""What the methods of this stage are asked, and what they answer (nothing heavy at the top)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Request:
    """One row: draw `original_prompt` and `edited_prompt`, alike but for `edit_prompt`.

    Everything random about the row derives from `seed`, whatever batch it falls into.
    """

    original_prompt: str
    edit_prompt: str
    edited_prompt: str
    kind: str | None
    seed: int


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pair of pictures, uint8 (H, W, 3) each, and what made it; None where that has no say.

    `seed` is the candidate's own: it is what the noise of the edited picture was drawn from.
    """

    original: np.ndarray
    edited: np.ndarray
    seed: int
    conditioning_scale: float | None
    attention_fraction: float | None
    guidance_scale: float
    num_inference_steps: int
