"""What every score means: its words, its unit, and which way is better (nothing heavy is imported)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PSNR_CEILING = 60.0  # dB: what equal pixels count as, so that means stay finite
ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Metric:
    """What a score means, for the report."""

    name: str
    title: str
    better: Literal["higher", "lower"]
    unit: str
    description: str
    least: float
    most: float
    """`least` and `most` bound what a case, and so a mean, can have"""
    is_of_keeping: bool = False
    """whether it asks only how much was kept, so that an unedited picture has the best score"""

    @property
    def is_share(self) -> bool:
        """Whether each case has 0 or 1."""
        return self.unit == "share"

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which a mean lies."""
        return self.least, self.most

    @property
    def difference_bounds(self) -> tuple[float, float]:
        """Between which a difference of two means lies."""
        return self.least - self.most, self.most - self.least

    @property
    def arrow(self) -> str:
        """↑ or ↓: where better is."""
        return ARROWS[self.better]

    @property
    def direction(self) -> str:
        """Where better is, in words."""
        return f"{self.better} is better"


METRICS = (
    Metric("retrieval", "target retrieval@1", "higher", "share",
           "How often a right answer is, by mean squared error, the nearest of 32 candidates: "
           "the unedited picture, the targets of other instructions on the same scene, and other "
           "scenes' targets are the others.", 0, 1),
    Metric("untouched_psnr", "PSNR of untouched pixels", "higher", "dB",
           f"Over the pixels that the edit should leave alone; equal pixels count as "
           f"{PSNR_CEILING:.0f} dB.", 0, PSNR_CEILING, is_of_keeping=True),
    Metric("l1", "L1 to the target", "lower", "",
           "Mean absolute difference to the nearest right answer, pixels in [0, 1].", 0, 1),
    Metric("l2", "L2 to the target", "lower", "",
           "Mean squared difference to the nearest right answer, pixels in [0, 1].", 0, 1),
    Metric("clip_direction", "CLIP directional similarity", "higher", "",
           "Cosine between the change of the picture and the change of the caption (2211.09800, "
           "section 3.1.2); 0 for a picture that did not change. Cases whose captions are equal "
           "have none.", -1, 1),
    Metric("clip_image", "CLIP image similarity", "higher", "",
           "Cosine between the picture before and after: how much was kept. A picture returned "
           "unedited has 1, so read it beside the directional similarity.", -1, 1,
           is_of_keeping=True),
    Metric("clip_text", "CLIP text similarity", "higher", "",
           "Cosine between the edited picture and the caption after the edit.", -1, 1),
    Metric("clip_target", "CLIP similarity to the target", "higher", "",
           "Cosine between the edited picture and the right answer (CLIP-I of 2306.10012).", -1, 1),
    Metric("dino_image", "DINO similarity", "higher", "",
           "Cosine between the picture before and after, class tokens of DINO.", -1, 1,
           is_of_keeping=True),
    Metric("dino_target", "DINO similarity to the target", "higher", "",
           "Cosine between the edited picture and the right answer, class tokens of DINO.", -1, 1),
)  # fmt: skip
METRIC = {metric.name: metric for metric in METRICS}

HEADLINES = ("retrieval", "clip_direction", "l2", "clip_target", "clip_text", "clip_image")
"""The metrics that may decide a report; the first one that all models have does."""
