"""Examples: a scene, an instruction in words, and every right answer in pixels.

Splits: `train`; `heldout` (scenes and phrasings that training never sees); `novel` (edits that
involve objects of which training shows captions only).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Literal

import numpy as np

from overpaint.scenes.captions import a_or_an, caption, sample_voice, with_article, word
from overpaint.scenes.catalogue import Thing, World, catalogue, things
from overpaint.scenes.edits import ALL_EDITS, Edit, kinds_of, sample_edit, sometimes_edited
from overpaint.scenes.layout import Scene, Version, sample_scene
from overpaint.scenes.phrasings import PLACE_WORDS, phrasings
from overpaint.scenes.rendering import render
from overpaint.scenes.wording import say
from overpaint.seeds import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

Split = Literal["train", "heldout", "novel"]
SPLITS: tuple[Split, ...] = ("train", "heldout", "novel")
_NO_OP = 1.0  # mean absolute difference, of 255, below which an edit would change nothing
_SAME = 0.5  # and below which two answers count as one picture


@dataclass(frozen=True)
class Example:
    """One original picture, one instruction, and all its right answers."""

    seed: int
    split: Split
    world: World
    size: int
    scene: Scene
    edit: Edit
    edit_prompt: str
    original_prompt: str
    edited_prompt: str

    @property
    def kind(self) -> str:
        """The kind of edit, one of `kinds_of(version)`."""
        return self.edit.kind

    @cached_property
    def original(self) -> Pixels:
        """(size, size, 3) uint8, sRGB in 0..255."""
        return render(self.scene, self.size)

    @cached_property
    def targets(self) -> tuple[Pixels, ...]:
        """Every right answer, each like `original`; the first is the one that training sees."""
        return tuple(render(answer, self.size) for answer in self.edit.answers)

    @cached_property
    def untouched(self) -> NDArray[np.bool_]:
        """(size, size): the pixels that no right answer changes."""
        same = [(self.original == target).all(axis=-1) for target in self.targets]
        return np.logical_and.reduce(same)


def sample_example(
    seed: int,
    split: Split = "train",
    world: World = "small",
    size: int = 64,
    kinds: tuple[str, ...] | None = None,
    version: Version = 1,
) -> Example:
    """The example of a seed: same arguments, same bytes.

    Args:
        seed: names the example; every random choice derives from it and the split.
        split: `train`, `heldout` or `novel`.
        world: `small` (40 objects in edits, 8 novel) or `full` (163 and 26).
        size: side of the pictures in pixels, 8 to 4096.
        kinds: kinds of edit to draw from; none: all that the version knows.
        version: of the world, see `layout`.
    """
    name = (seed, "scene", split, world)
    rng = Random(derive_seed(*name) if version == 1 else derive_seed(*name, version))
    kinds = kinds_of(version) if kinds is None else kinds
    pool = things(world, "seen") if split == "train" or split == "heldout" else catalogue(world)
    while True:
        scene = sample_scene(rng, pool, version=version)
        if (is_held_out(scene) != (split == "heldout")) and split != "novel":
            continue
        edit = sample_edit(scene, rng, pool, kinds)
        if edit is None or (split == "novel" and not _shows_novel(scene, edit)):
            continue
        held_out = split == "heldout"
        places_matter = any(ALL_EDITS[e.kind].places for e in (edit, *edit.parts))
        voice = sample_voice(rng, with_places=places_matter)
        example = Example(
            seed=seed,
            split=split,
            world=world,
            size=size,
            scene=scene,
            edit=edit,
            edit_prompt=(
                instruction(edit, rng, held_out)
                if version == 1
                else say(edit, scene, rng, held_out)
            ),
            original_prompt=caption(scene, voice),
            edited_prompt=caption(edit.answers[0], voice),
        )
        if (
            not ALL_EDITS[edit.kind].shows
            or distance(example.original, example.targets[0]) >= _NO_OP
        ):
            return example


def is_held_out(scene: Scene) -> bool:
    """One composition (background and objects) in five belongs to the held-out split."""
    return derive_seed(0, "composition", scene.signature()) % 5 == 0


def _shows_novel(scene: Scene, edit: Edit) -> bool:
    """An edit that names objects must name a novel one; one of the whole picture must show one."""
    named = [t for e in (edit, *edit.parts) for t in (e.x, e.y) if t is not None]
    shown = named or [item.thing for item in scene.items]
    return any(thing.role == "novel" for thing in shown)


def distance(a: Pixels, b: Pixels) -> float:
    """Mean absolute difference of two pictures of one size, of 255."""
    return float(np.abs(a.astype(np.int16) - b.astype(np.int16)).mean())


def instruction(edit: Edit, rng: Random, held_out: bool) -> str:
    """Say an edit in words, with one of version 1's phrasings of its kind; see `wording.say`."""
    template = rng.choice(phrasings(edit.kind, held_out))
    place = rng.choice(PLACE_WORDS).format(edit.place)
    synonym = rng.choice((1, 2)) if rng.random() < 0.15 else 0

    def name(thing: Thing | None) -> str:
        return word(thing, synonym) if thing else ""

    return template.format(
        x=name(edit.x),
        y=name(edit.y),
        a_y=with_article(name(edit.y), edit.y) if edit.y else "",
        colour=edit.colour,
        a_colour=f"{a_or_an(edit.colour)} {edit.colour}" if edit.colour else "",
        place=place,
        to_place=place.replace("in the", "to the").replace("at the", "to the"),
    )


def candidates(example: Example, count: int = 32) -> list[Pixels]:
    """What retrieval chooses from besides the right answers: `count` minus one wrong pictures.

    First the unedited original, then targets of other instructions on the same scene (same kind
    with a wrong object, colour or place; then other kinds), then other scenes' targets, a quarter
    of all. Pictures equal to a right answer are left out.
    """
    rng = Random(derive_seed(example.seed, "candidates", example.split, example.world, count))
    wrong: list[Pixels] = []
    from_same_scene = count - 1 - count // 4
    for picture in (example.original, *_other_targets(example, rng)):
        if len(wrong) == from_same_scene:
            break
        if all(distance(picture, other) >= _SAME for other in (*example.targets, *wrong)):
            wrong.append(picture)
    while len(wrong) < count - 1:
        other = sample_example(
            rng.getrandbits(62),
            example.split,
            example.world,
            example.size,
            version=example.scene.version,
        )
        if all(distance(other.targets[0], right) >= _SAME for right in example.targets):
            wrong.append(other.targets[0])
    return wrong


def _other_targets(example: Example, rng: Random) -> Iterator[Pixels]:
    """Targets of other instructions on the same scene: alternately the same kind and any kind."""
    seen_only = example.split != "novel"
    pool = things(example.world, "seen") if seen_only else catalogue(example.world)
    for attempt in range(400):
        kinds = (example.kind,) if attempt % 2 == 0 else kinds_of(example.scene.version)
        edit = sample_edit(example.scene, rng, pool, kinds)
        if edit is not None:
            yield render(edit.answers[0], example.size)


def sample_caption(
    seed: int, world: World = "small", edited: float = 0.5, version: Version = 1
) -> tuple[Scene, str]:
    """A scene over the whole catalogue, novel objects too, with its caption.

    `edited` is the share of scenes that an edit has changed: at night, with a big cat, ...
    """
    name = (seed, "caption", world)
    rng = Random(derive_seed(*name) if version == 1 else derive_seed(*name, version))
    scene = sample_scene(rng, catalogue(world), version=version)
    scene = sometimes_edited(scene, rng, catalogue(world), edited)
    return scene, caption(scene, sample_voice(rng))
