"""Edits with an exact answer: each kind is one function from a scene to the right scenes.

An edit that does not apply to a scene (a swap of one object, an add where no place is free)
returns None, and another kind is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from overpaint.scenes.catalogue import COLOURS, Thing
from overpaint.scenes.layout import Item, Look, Scene


@dataclass(frozen=True)
class Edit:
    """What is asked of a scene, and every scene that answers it."""

    kind: str
    answers: tuple[Scene, ...]
    x: Thing | None = None
    y: Thing | None = None
    colour: str = ""
    place: str = ""


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
    return Edit("replace", (answer,), x=item.thing, y=new)


def _added(scene: Scene, thing: Thing, place: str) -> Scene:
    return replace(scene, items=(*scene.items, Item(thing, place)))


def _add_at(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    place = rng.choice(scene.free_places())
    new = _absent(scene, rng, pool)
    return Edit("add at", (_added(scene, new, place),), y=new, place=place)


def _add(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    """Any free place is right; the first answer, drawn at random, is the one that training sees."""
    new = _absent(scene, rng, pool)
    places = rng.sample(scene.free_places(), len(scene.free_places()))
    return Edit("add", tuple(_added(scene, new, place) for place in places), y=new)


def _remove(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    index, item = _pick(scene, rng)
    rest = (*scene.items[:index], *scene.items[index + 1 :])
    return Edit("remove", (replace(scene, items=rest),), x=item.thing)


def _background(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    colour = rng.choice([c for c in COLOURS if c != scene.background])
    return Edit("background", (replace(scene, background=colour),), colour=colour)


def _recolour(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    index, item = _pick(scene, rng)
    colour = rng.choice(COLOURS)
    answer = scene.with_item(index, replace(item, colour=colour))
    return Edit("recolour", (answer,), x=item.thing, colour=colour)


def _move(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    index, item = _pick(scene, rng)
    place = rng.choice(scene.free_places())
    answer = scene.with_item(index, replace(item, place=place))
    return Edit("move", (answer,), x=item.thing, place=place)


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
    return Edit("swap", (answer,), x=first.thing, y=second.thing)


def _enlarge(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    index, item = _pick(scene, rng)
    return Edit("enlarge", (scene.with_item(index, replace(item, scale="big")),), x=item.thing)


def _shrink(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
    index, item = _pick(scene, rng)
    return Edit("shrink", (scene.with_item(index, replace(item, scale="tiny")),), x=item.thing)


def _look(look: Look) -> Callable[[Scene, Random, tuple[Thing, ...]], Edit | None]:
    def edit(scene: Scene, rng: Random, pool: tuple[Thing, ...]) -> Edit | None:
        return Edit(look, (replace(scene, look=look),))

    return edit


# kind → (the function, how often it is drawn: kinds with more to learn come more often)
EDITS: dict[str, tuple[Callable[[Scene, Random, tuple[Thing, ...]], Edit | None], float]] = {
    "replace": (_replace, 3.0),
    "add at": (_add_at, 2.0),
    "add": (_add, 2.0),
    "remove": (_remove, 1.0),
    "background": (_background, 1.0),
    "recolour": (_recolour, 1.5),
    "move": (_move, 1.5),
    "swap": (_swap, 1.5),
    "enlarge": (_enlarge, 1.0),
    "shrink": (_shrink, 1.0),
    "line drawing": (_look("line drawing"), 0.5),
    "greyscale": (_look("greyscale"), 0.5),
    "night": (_look("night"), 0.5),
}
KINDS = tuple(EDITS)


def sample_edit(
    scene: Scene, rng: Random, pool: tuple[Thing, ...], kinds: tuple[str, ...] = KINDS
) -> Edit | None:
    """Draw a kind by its weight, then an edit of that kind; None where none of the kinds applies."""
    left = list(kinds)
    while left:
        kind = rng.choices(left, [EDITS[k][1] for k in left])[0]
        edit = EDITS[kind][0](scene, rng, pool)
        if edit is not None:
            return edit
        left.remove(kind)
    return None


def sometimes_edited(scene: Scene, rng: Random, pool: tuple[Thing, ...], share: float) -> Scene:
    """The scene after an edit in a `share` of cases; as it is in the others, or where none fits."""
    edit = sample_edit(scene, rng, pool) if rng.random() < share else None
    return edit.answers[0] if edit else scene
