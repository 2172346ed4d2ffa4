"""Batches of scenes as tensors, drawn afresh for every step from the seeds of its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overpaint.scenes.captions import Voice, caption, sample_voice
from overpaint.scenes.catalogue import Thing, World, catalogue
from overpaint.scenes.edits import sometimes_edited
from overpaint.scenes.examples import sample_caption
from overpaint.scenes.layout import PLACES, Scene, Version, sample_scene
from overpaint.scenes.one_fact import swapped, with_one_fact_wrong
from overpaint.scenes.rendering import render
from overpaint.seeds import derive_seed
from overpaint.training.micro_step import MicroStep


def to_tensor(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """uint8 pictures (h, w, 3) in 0..255 → float32 (n, 3, h, w) in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return stacked.float().div_(127.5).sub_(1.0).contiguous()


def sample_seeds(step: MicroStep, count: int, purpose: str) -> list[int]:
    """`count` seeds for this process's part of a micro-batch; none occurs twice in a run."""
    return [derive_seed(step.seed, purpose, step.first + i) for i in range(count)]


def captioned(
    seeds: Sequence[int], world: World, size: int, version: Version = 1
) -> tuple[Tensor, list[str]]:
    """Scenes over the whole catalogue (n, 3, size, size) in [-1, 1], and their captions."""
    drawn = [sample_caption(seed, world, version=version) for seed in seeds]
    return to_tensor([render(scene, size) for scene, _ in drawn]), [text for _, text in drawn]


UNTOLD = -100  # torch's cross-entropy leaves such an entry out


@dataclass(frozen=True)
class HardCaptions:
    """Scenes (n, 3, size, size) in [-1, 1], a `right` caption of each, and `wrong` ones of them.

    `shown` (n, places) says which object stands in each place of a picture: its number in the
    world's catalogue from 1 on, or 0. `told` says the same of each caption, the right ones first;
    UNTOLD where it names no places.
    """

    pictures: Tensor
    right: list[str]
    wrong: list[str]
    shown: Tensor
    told: Tensor


def hard_captions(
    seeds: Sequence[int], world: World, size: int, count: int, version: Version = 1
) -> HardCaptions:
    """Scenes as `captioned` gives them, and up to `count` captions of each that are nearly right.

    Those are wrong in one fact, or say the same words of the other object. Random captions can be
    told apart by their objects and colours, so from them alone CLIP learns no places.
    """
    pictures, right, shown, told_right = [], [], [], []
    wrong: list[str] = []
    told_wrong: list[list[int]] = []
    pool = catalogue(world)
    for seed in seeds:
        rng = Random(seed)
        scene = sometimes_edited(sample_scene(rng, pool, version=version), rng, pool, 0.5)
        voice = sample_voice(rng, with_places=rng.random() < 0.6)
        said = caption(scene, voice)
        nearly = _nearly(scene, voice, said, rng, pool, count)
        pictures.append(render(scene, size))
        right.append(said)
        wrong += nearly
        shown.append(_layout(scene, pool))
        told_right.append(_told(scene, voice, pool))
        told_wrong += [_told(other, voice, pool) for other in nearly.values()]
    told = torch.tensor(told_right + told_wrong)
    return HardCaptions(to_tensor(pictures), right, wrong, torch.tensor(shown), told)


def _layout(scene: Scene, pool: Sequence[Thing]) -> list[int]:
    """The object in each place: its number in `pool` from 1 on, 0 where there is none."""
    numbers = {item.place: 1 + pool.index(item.thing) for item in scene.items}
    return [numbers.get(place, 0) for place in PLACES]


def _told(scene: Scene, voice: Voice, pool: Sequence[Thing]) -> list[int]:
    """The layout as a caption in this voice tells it."""
    return _layout(scene, pool) if voice.with_places else [UNTOLD] * len(PLACES)


def _nearly(
    scene: Scene, voice: Voice, said: str, rng: Random, pool: Sequence[Thing], count: int
) -> dict[str, Scene]:
    """Up to `count` wrong captions with the scenes that they tell of, the facts in turn."""
    by_fact: dict[str, list[Scene]] = {"swap": list(swapped(scene))}
    for fact, other in with_one_fact_wrong(scene, pool):
        by_fact.setdefault(fact, []).append(other)
    for scenes in by_fact.values():
        rng.shuffle(scenes)
    # Places are the hardest, and three facts of four are not in every scene.
    turns = ["place", "swap", "object", "size", "place", "colour", "background", "object", "look"]
    texts: dict[str, Scene] = {}
    for fact in turns:
        for other in by_fact.get(fact, []):
            text = caption(other, voice)
            if text != said and text not in texts:
                texts[text] = other
                break
    return dict(list(texts.items())[:count])


def crowded(seeds: Sequence[int], world: World, size: int, version: Version = 1) -> Tensor:
    """Scenes of one to four objects, often edited, as (n, 3, size, size) in [-1, 1].

    An autoencoder learns little from empty places, so these have few.
    """
    pictures = []
    for seed in seeds:
        rng = Random(seed)
        counts = (1, 2, 3, 3) if version == 1 else (2, 3, 4, 4)
        scene = sample_scene(rng, catalogue(world), rng.choice(counts), version)
        pictures.append(render(sometimes_edited(scene, rng, catalogue(world), 0.7), size))
    return to_tensor(pictures)
