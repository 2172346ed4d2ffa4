"""Batches of scenes as tensors, drawn afresh for every step from the seeds of its samples."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overpaint.scenes.captions import Voice, caption, sample_voice
from overpaint.scenes.catalogue import Thing, World, catalogue
from overpaint.scenes.edits import sometimes_edited
from overpaint.scenes.examples import sample_caption
from overpaint.scenes.layout import Scene, sample_scene
from overpaint.scenes.one_fact import swapped, with_one_fact_wrong
from overpaint.scenes.rendering import render
from overpaint.seeds import derive_seed
from overpaint.training.step import Step


def to_tensor(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """uint8 pictures (h, w, 3) in 0..255 → float32 (n, 3, h, w) in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return stacked.float().div_(127.5).sub_(1.0).contiguous()


def sample_seeds(step: Step, count: int, purpose: str) -> list[int]:
    """`count` seeds for this process's part of a micro-batch; none occurs twice in a run."""
    return [derive_seed(step.seed, purpose, step.first + i) for i in range(count)]


def captioned(seeds: Sequence[int], world: World, size: int) -> tuple[Tensor, list[str]]:
    """Scenes over the whole catalogue (n, 3, size, size) in [-1, 1], and their captions."""
    drawn = [sample_caption(seed, world) for seed in seeds]
    return to_tensor([render(scene, size) for scene, _ in drawn]), [text for _, text in drawn]


def hard_captions(
    seeds: Sequence[int], world: World, size: int, count: int
) -> tuple[Tensor, list[str], list[str]]:
    """Scenes as `captioned` gives them, and up to `count` captions of each that are nearly right.

    Those are wrong in one fact, or say the same words of the other object. Random captions can be
    told apart by their objects and colours, so from them alone CLIP learns no places.
    """
    pictures, right, wrong = [], [], []
    for seed in seeds:
        rng = Random(seed)
        scene = sample_scene(rng, catalogue(world))
        scene = sometimes_edited(scene, rng, catalogue(world), 0.5)
        voice = sample_voice(rng, with_places=rng.random() < 0.6)
        said = caption(scene, voice)
        pictures.append(render(scene, size))
        right.append(said)
        wrong += _nearly(scene, voice, said, rng, catalogue(world), count)
    return to_tensor(pictures), right, wrong


def _nearly(
    scene: Scene, voice: Voice, said: str, rng: Random, pool: Sequence[Thing], count: int
) -> list[str]:
    """Up to `count` wrong captions, the facts in turn."""
    by_fact: dict[str, list[Scene]] = {"swap": list(swapped(scene))}
    for fact, other in with_one_fact_wrong(scene, pool):
        by_fact.setdefault(fact, []).append(other)
    for scenes in by_fact.values():
        rng.shuffle(scenes)
    # Places are the hardest, and three facts of four are not in every scene.
    turns = ["place", "swap", "object", "size", "place", "colour", "background", "object", "look"]
    texts: list[str] = []
    for fact in turns:
        others = (caption(other, voice) for other in by_fact.get(fact, []))
        text = next((text for text in others if text != said and text not in texts), None)
        texts += [text] if text else []
    return texts[:count]


def crowded(seeds: Sequence[int], world: World, size: int) -> Tensor:
    """Scenes of one to four objects, often edited, as (n, 3, size, size) in [-1, 1].

    An autoencoder learns little from empty places, so these have few.
    """
    pictures = []
    for seed in seeds:
        rng = Random(seed)
        scene = sample_scene(rng, catalogue(world), count=rng.choice((1, 2, 3, 3)))
        pictures.append(render(sometimes_edited(scene, rng, catalogue(world), 0.7), size))
    return to_tensor(pictures)
