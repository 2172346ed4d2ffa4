"""Edits with an exact answer: each kind is one function from a scene to the right scenes.

A new kind is its function and its row of `EDITS` or of what a version adds; how it is said stands
in `phrasings.tsv`. An edit that does not apply to a scene (a swap of one object, an add where no place is free)
returns None, and another kind is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from overpaint.scenes.catalogue import COLOURS, Thing
from overpaint.scenes.layout import FITTED_SIZE, Item, Look, Scale, Scene, Version


@dataclass(frozen=True)
class Edit:
    """What is asked of a scene, and every scene that answers it."""

    kind: str
    answers: tuple[Scene, ...]
    x: Thing | None = None
    y: Thing | None = None
    colour: str = ""
    place: str = ""
    about: tuple[int, ...] = ()
    """Which objects of the scene are meant, as numbers of its items: those of `x`, and of `y`."""
    parts: tuple[Edit, ...] = ()
    """Of two edits in one: both, in the order in which they are done."""


def _pick(scene: Scene, rng: Random) -> tuple[int, Item]:
    index = rng.randrange(len(scene.items))
    return index, scene.items[index]


def _absent(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Thing:
    present = {item.thing for item in scene.items}
    return rng.choice([thing for thing in pool if thing not in present])


def _replace(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    index, item = _pick(scene, rng)
    new = _absent(scene, rng, pool)
    answer = scene.with_item(index, replace(item, thing=new))
    return Edit("replace", (answer,), x=item.thing, y=new, about=(index,))


def _added(scene: Scene, thing: Thing, place: str) -> Scene:
    fitted = scene.version == 2
    item = Item(thing, place, FITTED_SIZE, fitted=True) if fitted else Item(thing, place)
    return replace(scene, items=(*scene.items, item))


def _add_at(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    if not scene.free_places():
        return None
    place = rng.choice(scene.free_places())
    new = _absent(scene, rng, pool)
    return Edit("add at", (_added(scene, new, place),), y=new, place=place)


def _add(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    """Any free place is right; the first answer, drawn at random, is the one that training sees."""
    if not scene.free_places():
        return None
    new = _absent(scene, rng, pool)
    places = rng.sample(scene.free_places(), len(scene.free_places()))
    return Edit("add", tuple(_added(scene, new, place) for place in places), y=new)


def _remove(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    index, item = _pick(scene, rng)
    rest = (*scene.items[:index], *scene.items[index + 1 :])
    return Edit("remove", (replace(scene, items=rest),), x=item.thing, about=(index,))


def _background(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    colour = rng.choice([c for c in COLOURS if c != scene.background])
    return Edit("background", (replace(scene, background=colour),), colour=colour)


def _recolour(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    index, item = _pick(scene, rng)
    colour = rng.choice(COLOURS)
    answer = scene.with_item(index, replace(item, colour=colour))
    return Edit("recolour", (answer,), x=item.thing, colour=colour, about=(index,))


def _move(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    if not scene.free_places():
        return None
    index, item = _pick(scene, rng)
    place = rng.choice(scene.free_places())
    answer = scene.with_item(index, replace(item, place=place))
    return Edit("move", (answer,), x=item.thing, place=place, about=(index,))


def _swap(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    if len(scene.items) != 2:
        return None
    first, second = scene.items
    answer = replace(
        scene,
        items=(
            replace(first, place=second.place, dx=second.dx, dy=second.dy),
            replace(second, place=first.place, dx=first.dx, dy=first.dy),
        ),
    )
    return Edit("swap", (answer,), x=first.thing, y=second.thing, about=(0, 1))


def _enlarge(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    return _scaled("enlarge", scene, rng, "big")


def _shrink(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    return _scaled("shrink", scene, rng, "tiny")


def _scaled(kind: str, scene: Scene, rng: Random, scale: Scale) -> Edit | None:
    index, item = _pick(scene, rng)
    if item.scale == scale and scene.version == 2:
        return None
    answer = scene.with_item(index, replace(item, scale=scale))
    return Edit(kind, (answer,), x=item.thing, about=(index,))


def _look(look: Look) -> Callable[[Scene, Random, tuple[Thing, ...]], Edit | None]:
    def edit(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
        return Edit(look, (replace(scene, look=look),))

    return edit


@dataclass(frozen=True)
class EditKind:
    """A kind of edit: how one is drawn for a scene, and how it gets on with others."""

    draw: Callable[[Scene, Random, tuple[Thing, ...]], Edit | None]
    weight: float
    """how often it is drawn: kinds with more to learn come more often"""
    of: Literal["object", "picture", "scene"] = "object"
    """what it changes: an object, the picture as a whole, or the scene anyhow (never one of two)"""
    second: bool = False
    """of an object: whether it can come after an edit of another object"""
    hides_colours: bool = False
    places: bool = False
    """whether its captions must say where the objects are"""
    shows: bool = True
    """whether the picture after it must differ"""


EDITS: dict[str, EditKind] = {
    "replace": EditKind(_replace, 3.0, second=True),
    "add at": EditKind(_add_at, 2.0, second=True, places=True),
    "add": EditKind(_add, 2.0),
    "remove": EditKind(_remove, 1.0, second=True),
    "background": EditKind(_background, 1.0, of="picture"),
    "recolour": EditKind(_recolour, 1.5, second=True),
    "move": EditKind(_move, 1.5, second=True, places=True),
    "swap": EditKind(_swap, 1.5, places=True),
    "enlarge": EditKind(_enlarge, 1.0, second=True),
    "shrink": EditKind(_shrink, 1.0, second=True),
    "line drawing": EditKind(_look("line drawing"), 0.5, of="picture", hides_colours=True),
    "greyscale": EditKind(_look("greyscale"), 0.5, of="picture", hides_colours=True),
    "night": EditKind(_look("night"), 0.5, of="picture"),
}
"""Those of version 1, whose order and weights its bytes depend on."""
KINDS = tuple(EDITS)


def _two_in_one(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    """An edit of an object and another one: of the whole picture, or of another object."""
    objects = tuple(kind for kind in KINDS if EDITS[kind].of == "object")
    first = sample_edit(scene, rng, pool, objects)
    if first is None:
        return None
    if len(first.answers) == 1 and rng.random() < 0.5:
        second = _of_another(first, scene, rng, pool)
    else:
        second = _of_all(first, scene, rng, pool)
    return second and replace(second, kind="two in one", x=first.x, y=first.y)


def _of_all(first: Edit, scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    """Both edits, the second of the whole picture and visible beside the first."""
    kinds = tuple(
        name
        for name, kind in EDITS.items()
        if kind.of == "picture" and not (kind.hides_colours and first.kind == "recolour")
    )
    second = sample_edit(scene, rng, pool, kinds)
    assert second is not None
    (wanted,) = second.answers
    answers = tuple(
        replace(answer, background=wanted.background, look=wanted.look) for answer in first.answers
    )
    return Edit("", answers, parts=(first, second))


def _of_another(first: Edit, scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    """Both edits, the second of an object that the first leaves alone."""
    kinds = tuple(name for name, kind in EDITS.items() if kind.second)
    present = [item.thing for item in scene.items]
    second = sample_edit(first.answers[0], rng, pool, kinds) if first.answers[0].items else None
    if second is None or second.y in present or second.x in (first.x, first.y):
        return None
    if second.x is not None and second.x not in present:
        return None
    about = () if second.x is None else (present.index(second.x),)
    return Edit("", second.answers, parts=(first, replace(second, about=about)))


def _keep(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    return Edit("keep", (scene,))


# What version 2 adds.
_MORE_EDITS = {
    "two in one": EditKind(_two_in_one, 2.0, of="scene"),
    "keep": EditKind(_keep, 0.5, of="scene", shows=False),
}
ALL_EDITS = {**EDITS, **_MORE_EDITS}


def kinds_of(version: Version) -> tuple[str, ...]:
    """The kinds of edit that a version of the world knows: 13, or 15 in version 2."""
    return KINDS if version == 1 else tuple(ALL_EDITS)


def sample_edit(
    scene: Scene, rng: Random, pool: tuple[Thing, ...], kinds: tuple[str, ...] = KINDS
) -> Edit | None:
    """Draw a kind by its weight, then an edit of that kind; None where none of the kinds applies."""
    left = list(kinds)
    while left:
        kind = rng.choices(left, [ALL_EDITS[k].weight for k in left])[0]
        edit = ALL_EDITS[kind].draw(scene, rng, pool)
        if edit is not None:
            return edit
        left.remove(kind)
    return None


def sometimes_edited(scene: Scene, rng: Random, pool: tuple[Thing, ...], share: float) -> Scene:
    """The scene after an edit in a `share` of cases; as it is in the others, or where none fits."""
    edit = sample_edit(scene, rng, pool) if rng.random() < share else None
    return edit.answers[0] if edit else scene
