"""Scenes that differ from one in a single fact: what a caption must not be taken for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import get_args

from overpaint.scenes.catalogue import COLOURS, Thing
from overpaint.scenes.layout import Look, Scene

FACTS = ("object", "colour", "size", "place", "background", "look")
_SHOWS_COLOURS: tuple[Look, ...] = ("plain", "night")  # the others leave the background unsaid


def with_one_fact_wrong(scene: Scene, pool: Sequence[Thing]) -> Iterator[tuple[str, Scene]]:
    """Every scene that differs in one of FACTS, with the fact's name.

    Objects are taken from `pool`. Captions need not say the difference: those of a look without
    colours say no background, and some name no places.
    """
    in_colour = scene.look in _SHOWS_COLOURS
    for index, item in enumerate(scene.items):
        for thing in pool:
            if not any(_share_a_name(thing, present.thing) for present in scene.items):
                yield "object", scene.with_item(index, replace(item, thing=thing))
        for colour in COLOURS if item.colour and in_colour else ():
            yield "colour", scene.with_item(index, replace(item, colour=colour))
        for scale in ("", "big", "tiny"):
            yield "size", scene.with_item(index, replace(item, scale=scale))
        for place in scene.free_places():
            if len(set(place.split()) & set(item.place.split())) == 1:
                yield "place", scene.with_item(index, replace(item, place=place))
    if in_colour:
        for background in COLOURS:
            yield "background", replace(scene, background=background)
        for look in get_args(Look):
            yield "look", replace(scene, look=look)


def swapped(scene: Scene) -> Iterator[Scene]:
    """Every scene in which two objects stand in each other's places, or have each other's sizes
    or colours: the same words in another order."""
    for (i, a), (j, b) in combinations(enumerate(scene.items), 2):
        for fields in (("place",), ("scale",), ("colour",)):
            theirs = {name: getattr(b, name) for name in fields}
            ours = {name: getattr(a, name) for name in fields}
            if theirs != ours:
                yield scene.with_item(i, replace(a, **theirs)).with_item(j, replace(b, **ours))


def _share_a_name(a: Thing, b: Thing) -> bool:
    return bool({a.name, *a.synonyms} & {b.name, *b.synonyms})
