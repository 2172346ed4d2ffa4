"""A scene: a background and named objects in places, and how one is drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from overpaint.scenes.catalogue import COLOURS, Thing

Look = Literal["plain", "line drawing", "greyscale", "night"]

# The four quarters of the picture; a centre as fractions (x, y) of its width and height.
PLACES: dict[str, tuple[float, float]] = {
    "top left": (0.25, 0.25),
    "top right": (0.75, 0.25),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
}
SIZE = 0.46  # an object's side, as a fraction of the picture's
BIG, TINY = 1.25, 0.6  # what "make it bigger" and "make it smaller" multiply the side with


@dataclass(frozen=True)
class Item:
    """An object in its place; `dx`, `dy` shift it from the place's centre, in fractions."""

    thing: Thing
    place: str
    size: float = SIZE
    dx: float = 0.0
    dy: float = 0.0
    colour: str | None = None
    scale: Literal["", "big", "tiny"] = ""

    @property
    def side(self) -> float:
        """The drawn side as a fraction of the picture's."""
        return self.size * {"": 1.0, "big": BIG, "tiny": TINY}[self.scale]


@dataclass(frozen=True)
class Scene:
    """What a picture shows; `render` turns it into pixels."""

    background: str
    items: tuple[Item, ...]
    look: Look = "plain"

    def free_places(self) -> tuple[str, ...]:
        """The places that no object stands in."""
        taken = {item.place for item in self.items}
        return tuple(place for place in PLACES if place not in taken)

    def with_item(self, index: int, item: Item) -> Scene:
        """The same scene with the object at `index` exchanged for another."""
        items = (*self.items[:index], item, *self.items[index + 1 :])
        return replace(self, items=items)

    def signature(self) -> str:
        """Background and objects, without places: scenes are held out by it."""
        return "|".join((self.background, *sorted(item.thing.file for item in self.items)))


def sample_scene(rng: Random, pool: tuple[Thing, ...], count: int | None = None) -> Scene:
    """A plain scene of different objects of `pool`, slightly jittered in place and size.

    One object or two (in seven scenes of ten), unless `count` (0 to 4) says how many.
    """
    if count is None:
        count = 1 if rng.random() < 0.3 else 2
    places = rng.sample(sorted(PLACES), count)
    items = tuple(
        Item(
            thing=thing,
            place=place,
            size=SIZE * rng.uniform(0.9, 1.0),
            dx=rng.uniform(-0.02, 0.02),
            dy=rng.uniform(-0.02, 0.02),
        )
        for thing, place in zip(rng.sample(pool, count), places, strict=True)
    )
    return Scene(background=rng.choice(COLOURS), items=items)
