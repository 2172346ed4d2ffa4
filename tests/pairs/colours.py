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

from overpaint.pairs.candidates import Candidate, CandidateSpec
from overpaint.pairs.generation import PairGenerator
from overpaint.pairs.settings import PairsSettings
from overpaint.rows import Triplet

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
        self.asked: list[Triplet] = []

    def draw_sources(self, triplets: Sequence[Triplet], seeds: Sequence[int]) -> list[np.ndarray]:
        return [
            plain(colour_of(one.original_prompt), seed % 2**32)
            for one, seed in zip(triplets, seeds, strict=True)
        ]

    def draw_candidates(
        self, triplets: Sequence[Triplet], seeds: Sequence[int], sources: Sequence[np.ndarray]
    ) -> list[list[Candidate]]:
        self.asked += triplets
        return [
            [
                self.draw_one(triplet, CandidateSpec(row, seeds[row], 7.5, scale), sources[row])
                for scale in self.settings.controlnet_conditioning_scales
            ]
            for row, triplet in enumerate(triplets)
        ]

    def draw_one(self, triplet: Triplet, spec: CandidateSpec, source: np.ndarray) -> Candidate:
        before, after = colour_of(triplet.original_prompt), colour_of(triplet.edited_prompt)
        scale = spec.conditioning_scale or 0.0
        edited = plain(scale * before + (1 - scale) * after, spec.seed % 2**32 + 1)
        return Candidate(spec, source, edited)


class ColourCouples:
    """Draws as Prompt-to-Prompt does: both pictures at once, anew for each candidate."""

    def __init__(self, settings: PairsSettings) -> None:
        self.settings = settings

    def draw_sources(self, triplets: Sequence[Triplet], seeds: Sequence[int]) -> None:
        """None."""

    def draw_candidates(
        self, triplets: Sequence[Triplet], seeds: Sequence[int], sources: None = None
    ) -> list[list[Candidate]]:
        return [
            [self.draw_one(one, row, seeds[row], n) for n in range(self.settings.candidates)]
            for row, one in enumerate(triplets)
        ]

    def draw_one(self, triplet: Triplet, row: int, seed: int, number: int) -> Candidate:
        share, seed = number / self.settings.candidates, seed % 2**32 + number
        before, after = colour_of(triplet.original_prompt), colour_of(triplet.edited_prompt)
        return Candidate(
            CandidateSpec(row, seed, 9.0, attention_fraction=share),
            plain(before, seed),
            plain(share * before + (1 - share) * after, seed + 1),
        )


def open_colours(
    settings: PairsSettings, device: str | None, shown: frozenset[str]
) -> PairGenerator:
    """In the place of `generation.open_generator`."""
    method = (ColourSources if settings.method == "controlnet" else ColourCouples)(settings)
    return PairGenerator(settings, ColourClip(), method, shown)
