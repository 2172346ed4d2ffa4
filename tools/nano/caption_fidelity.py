"""Caption fidelity: does a picture show what its caption says, and nothing that is nearly that?

A case is a caption of a scene and 31 others, each wrong in one fact: another object, colour, size,
place, background or look. A picture is right when its own caption fits it best, which two judges
decide apart: a CLIP, and the renders of the scenes that the captions describe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from random import Random
from typing import TYPE_CHECKING

from PIL import Image

from overpaint.metrics.intervals import Estimate, estimate
from overpaint.metrics.pixelwise import Pixels, mean_squared_error
from overpaint.scenes.captions import caption, sample_voice
from overpaint.scenes.catalogue import COLOURS, Role, World, catalogue, things
from overpaint.scenes.edits import sometimes_edited
from overpaint.scenes.examples import distance
from overpaint.scenes.layout import PLACES, SIZE, Item, Scene, sample_scene
from overpaint.scenes.one_fact import FACTS, with_one_fact_wrong
from overpaint.scenes.rendering import render
from overpaint.seeds import derive_seed

if TYPE_CHECKING:
    from overpaint.models.clip import Clip

MOST_OBJECTS = 2  # three of them with their places are more words than nano's 32 tokens hold
_ALIKE = 1.0  # mean absolute difference, of 255, below which two renders show the same
# What `sample_scene` draws from, on a grid: shares of SIZE, and shifts in shares of the picture.
_SIZES, _SHIFTS = (0.9, 0.95, 1.0), (-0.02, 0.0, 0.02)


@dataclass(frozen=True)
class Claim:
    """A caption, a scene of which it is true, and the fact that it has wrong (right: none)."""

    caption: str
    scene: Scene
    fact: str = ""


@dataclass(frozen=True)
class CaptionCase:
    """What is to be drawn, and what it must not be taken for."""

    seed: int
    right: Claim
    wrong: tuple[Claim, ...]
    places_open: bool = False
    """whether the captions leave open in which quarter an object stands"""

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The right one first."""
        return (self.right, *self.wrong)


@dataclass(frozen=True)
class Verdict:
    """Of one picture: does its own caption fit it better than all those with this fact wrong?"""

    by_fact: Mapping[str, bool]

    @property
    def hit(self) -> bool:
        """Whether its own caption fits it best of all."""
        return all(self.by_fact.values())


def caption_case(
    seed: int, role: Role = "seen", world: World = "small", places_open: bool = False, n: int = 32
) -> CaptionCase:
    """The case of a seed, among `n` captions: same arguments, same case.

    One or two objects that all have `role` "seen", or of which one at least is "novel"; half of
    the scenes are edited. Captions use no synonyms, and name the places unless they are open.
    """
    rng = Random(derive_seed(seed, "caption fidelity", role, world))
    pool = things(world, "seen") if role == "seen" else catalogue(world)
    while True:
        scene = sometimes_edited(sample_scene(rng, pool), rng, pool, 0.5)
        roles = {item.thing.role for item in scene.items}
        if role not in roles or len(scene.items) > MOST_OBJECTS:
            continue
        voice = replace(sample_voice(rng), with_places=not places_open, synonym=0)
        right = Claim(caption(scene, voice), scene)
        by_fact: dict[str, list[Claim]] = {}
        for fact, other in with_one_fact_wrong(scene, pool):
            by_fact.setdefault(fact, []).append(Claim(caption(other, voice), other, fact))
        wrong = _take_turns(by_fact, right, n - 1, rng)
        if len(wrong) == n - 1:
            return CaptionCase(seed, right, tuple(wrong), places_open)


def _take_turns(
    by_fact: dict[str, list[Claim]], right: Claim, count: int, rng: Random
) -> list[Claim]:
    """`count` claims, the facts in turn while they last; none that reads or looks like another."""
    for claims in by_fact.values():
        rng.shuffle(claims)
    chosen: list[Claim] = []
    said, truth = {right.caption}, _drawn(right.scene)
    while len(chosen) < count and any(by_fact.values()):
        for claims in by_fact.values():
            if not claims or len(chosen) == count:
                continue
            claim = claims.pop()
            if claim.caption not in said and distance(_drawn(claim.scene), truth) >= _ALIKE:
                chosen.append(claim)
                said.add(claim.caption)
    return chosen


def _drawn(scene: Scene) -> Pixels:
    return render(scene, 64)


def least_error(picture: Pixels, scene: Scene, places_open: bool = False) -> float:
    """The least mean squared error, in 0..255 squared, to a render that the caption allows.

    A caption leaves open where exactly and how large an object is drawn, in greyscale on what
    background, and with `places_open` in which quarters. Fitted are background, quarters, then
    size and shift of one object after the other, over the ranges that `sample_scene` draws from.
    `picture` is square, (h, h, 3).
    """

    def error(scene: Scene) -> float:
        return mean_squared_error(picture, render(scene, len(picture)))

    middle = [replace(i, size=SIZE * _SIZES[1], dx=0.0, dy=0.0) for i in scene.items]
    scene = replace(scene, items=tuple(middle))
    if scene.look == "greyscale":
        scene = min((replace(scene, background=colour) for colour in COLOURS), key=error)
    if places_open:
        scene = min(_arranged(scene), key=error)
    for index, item in enumerate(scene.items):
        scene = min((scene.with_item(index, moved) for moved in _jittered(item)), key=error)
    return error(scene)


def _jittered(item: Item) -> Iterator[Item]:
    for size, dx, dy in product(_SIZES, _SHIFTS, _SHIFTS):
        yield replace(item, size=SIZE * size, dx=dx, dy=dy)


def _arranged(scene: Scene) -> Iterator[Scene]:
    """The objects of a scene in every quarter where they can stand."""
    for places in permutations(PLACES, len(scene.items)):
        pairs = zip(scene.items, places, strict=True)
        yield replace(scene, items=tuple(replace(item, place=place) for item, place in pairs))


def judge_by_renders(picture: Pixels, case: CaptionCase) -> Verdict:
    """The exact judge: the nearer the nearest render of a caption, the better it fits."""
    errors = [least_error(picture, claim.scene, case.places_open) for claim in case.claims]
    return _verdict([-error for error in errors], case)


def judge_by_clip(
    pictures: Sequence[Pixels], cases: Sequence[CaptionCase], clip: Clip
) -> list[Verdict]:
    """The larger the cosine of the embeddings, the better a caption fits."""
    images = clip.images([Image.fromarray(picture) for picture in pictures])
    verdicts = []
    for image, case in zip(images, cases, strict=True):
        texts = clip.texts([claim.caption for claim in case.claims])
        verdicts.append(_verdict((texts @ image).tolist(), case))
    return verdicts


def _verdict(fits: Sequence[float], case: CaptionCase) -> Verdict:
    """`fits` are those of `case.claims`; a tie is a mistake."""
    by_fact: dict[str, bool] = {}
    for claim, fit in zip(case.wrong, fits[1:], strict=True):
        by_fact[claim.fact] = by_fact.get(claim.fact, True) and fits[0] > fit
    return Verdict(by_fact)


def summarise(verdicts: Sequence[Verdict]) -> dict[str, Estimate]:
    """Retrieval@1 under "all", and fact by fact over the pictures for which one was to be told."""
    found = {"all": estimate([float(verdict.hit) for verdict in verdicts], share=True)}
    for fact in FACTS:
        told = [verdict.by_fact.get(fact) for verdict in verdicts]
        found[fact] = estimate([None if hit is None else float(hit) for hit in told], share=True)
    return {name: value for name, value in found.items() if value is not None}
