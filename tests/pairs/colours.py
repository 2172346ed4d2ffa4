"""A world of one-coloured pictures, for tests of the stage: a CLIP and two methods of a few lines.

A caption names a colour; the picture of a caption has that colour. The vector of a picture is its
mean colour, that of a caption its colour, so that every score can be worked out by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from overpaint.pairs.making import PairsStage
from overpaint.pairs.requests import Candidate, Request
from overpaint.pairs.settings import PairsSettings

COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}
TRIPLETS = [
    {"original_prompt": f"a {a} {thing}", "edit_prompt": f"make the {thing} {b}",
     "edited_prompt": f"a {b} {thing}", "kind": "attribute" if a == "red" else "object"}
    for thing in ("square", "house", "car", "bird") for a in COLOURS for b in COLOURS if a != b
]  # fmt: skip


def colour_of(caption: str) -> np.ndarray:
    """The colour that a caption names; grey where it names none."""
    found = [value for name, value in COLOURS.items() if name in caption.split()]
    return np.array(found[0] if found else (120, 120, 120), dtype=np.float64)


def plain(colour: np.ndarray, seed: int) -> np.ndarray:
    """A picture of 16 px of a colour, with a little noise of its seed."""
    noise = np.random.default_rng(seed).integers(-5, 6, (16, 16, 3))
    return np.clip(colour + noise, 0, 255).astype(np.uint8)


class ColourClip:
    """Counts what it embeds."""

    name = "colours"

    def __init__(self) -> None:
        self.pictures: list[Image.Image] = []
        self.words: list[str] = []

    def images(self, pictures: Sequence[Image.Image]) -> Tensor:
        self.pictures += pictures
        return _unit([np.asarray(picture).mean((0, 1)) for picture in pictures])

    def texts(self, texts: Sequence[str]) -> Tensor:
        self.words += texts
        return _unit([colour_of(text) for text in texts])


def _unit(rows: Sequence[np.ndarray]) -> Tensor:
    return torch.nn.functional.normalize(torch.tensor(np.array(rows)).float(), dim=-1)


class ColourSources:
    """Draws as ControlNet does: the stronger the scale, the more of the source is left."""

    def __init__(self, settings: PairsSettings) -> None:
        self.settings = settings
        self.asked: list[Request] = []

    def draw_sources(self, requests: Sequence[Request]) -> list[np.ndarray]:
        return [plain(colour_of(one.original_prompt), one.seed % 2**32) for one in requests]

    def draw_candidates(
        self, requests: Sequence[Request], sources: Sequence[np.ndarray]
    ) -> list[list[Candidate]]:
        self.asked += requests
        return [
            [
                self.draw_one(request, source, scale)
                for scale in self.settings.controlnet_conditioning_scales
            ]
            for request, source in zip(requests, sources, strict=True)
        ]

    def draw_one(self, request: Request, source: np.ndarray, scale: float) -> Candidate:
        before, after = colour_of(request.original_prompt), colour_of(request.edited_prompt)
        edited = plain(scale * before + (1 - scale) * after, request.seed % 2**32 + 1)
        return Candidate(source, edited, request.seed, scale, None, 7.5, 40)


class ColourCouples:
    """Draws as Prompt-to-Prompt does: both pictures at once, anew for each candidate."""

    def __init__(self, settings: PairsSettings) -> None:
        self.settings = settings

    def draw_candidates(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        return [
            [self.draw_one(one, n) for n in range(self.settings.candidates)] for one in requests
        ]

    def draw_one(self, request: Request, number: int) -> Candidate:
        share, seed = number / self.settings.candidates, request.seed % 2**32 + number
        before, after = colour_of(request.original_prompt), colour_of(request.edited_prompt)
        return Candidate(
            plain(before, seed), plain(share * before + (1 - share) * after, seed + 1), seed,
            None, share, 9.0, 40,
        )  # fmt: skip


def open_colours(settings: PairsSettings, device: str | None, shown: frozenset[str]) -> PairsStage:
    """In the place of `making.open_stage`."""
    if settings.method == "controlnet":
        return PairsStage(settings, ColourClip(), ColourSources(settings), None, shown)
    return PairsStage(settings, ColourClip(), None, ColourCouples(settings), shown)
