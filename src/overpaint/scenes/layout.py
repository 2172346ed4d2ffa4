"""A scene: a background and named objects in places, and how one is drawn at random.

Two versions of the world. In version 1 every object is shifted and scaled continuously. In
version 2 objects stand on a grid of 16 x 16 cells, in three sizes that are whole cells, with their
drawings cropped to their ink: a latent grid of that resolution then meets few different patterns.
A share of its scenes is off the grid, so that other pictures are not foreign.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from overpaint.scenes.catalogue import COLOURS, Thing

Look = Literal["plain", "line drawing", "greyscale", "night"]
Scale = Literal["", "big", "tiny"]
Version = Literal[1, 2]

# The four quarters of the picture; a centre as fractions (x, y) of its width and height.
PLACES: dict[str, tuple[float, float]] = {
    "top left": (0.25, 0.25),
    "top right": (0.75, 0.25),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
}
SIZE = 0.46  # an object's side, as a fraction of the picture's
BIG, TINY = 1.25, 0.6  # what "make it bigger" and "make it smaller" multiply the side with

CELL = 1 / 16  # version 2: a cell's side as a fraction of the picture's
FITTED_SIZE = 6 * CELL  # the side of an object's ink; big 8 cells, a whole quarter; tiny 4
FITTED_BIG, FITTED_TINY = 4 / 3, 2 / 3
OFF_GRID = 0.15  # share of the scenes of version 2 whose objects stand and measure anyhow
_COLOURED, _SCALED = 0.2, 0.2  # shares of the objects that have a colour or size of their own


@dataclass(frozen=True)
class Item:
    """An object in its place; `dx`, `dy` shift it from the place's centre, in fractions.

    `fitted` (version 2): the ink of the drawing, not its canvas, fills the square, which never
    leaves the place's quarter: a shift that would make it is cut short.
    """

    thing: Thing
    place: str
    size: float = SIZE
    dx: float = 0.0
    dy: float = 0.0
    colour: str | None = None
    scale: Scale = ""
    fitted: bool = False

    @property
    def side(self) -> float:
        """The drawn side as a fraction of the picture's."""
        big, tiny = (FITTED_BIG, FITTED_TINY) if self.fitted else (BIG, TINY)
        side = self.size * {"": 1.0, "big": big, "tiny": tiny}[self.scale]
        return min(side, 0.5) if self.fitted else side

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the square, as fractions (x, y) of the picture's width and height."""
        x, y = PLACES[self.place]
        if not self.fitted:
            return x + self.dx, y + self.dy
        room = max(0.0, (0.5 - self.side) / 2)
        return x + min(room, max(-room, self.dx)), y + min(room, max(-room, self.dy))


@dataclass(frozen=True)
class Scene:
    """What a picture shows; `render` turns it into pixels."""

    background: str
    items: tuple[Item, ...]
    look: Look = "plain"
    version: Version = 1

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


def sample_scene(
    rng: Random, pool: tuple[Thing, ...], count: int | None = None, version: Version = 1
) -> Scene:
    """A plain scene of different objects of `pool`.

    One object or two (in seven scenes of ten), unless `count` (0 to 4) says how many.
    """
    if count is None:
        count = 1 if rng.random() < 0.3 else 2
    places = rng.sample(sorted(PLACES), count)
    if version == 2:
        on_grid = rng.random() >= OFF_GRID
        chosen = zip(rng.sample(pool, count), places, strict=True)
        fitted = tuple(_fitted(rng, thing, place, on_grid) for thing, place in chosen)
        return Scene(background=rng.choice(COLOURS), items=fitted, version=2)
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


def _fitted(rng: Random, thing: Thing, place: str, on_grid: bool) -> Item:
    """An object of version 2; now and then recoloured, big or tiny from the start."""
    if on_grid:
        size, dx, dy = FITTED_SIZE, rng.randint(-1, 1) * CELL, rng.randint(-1, 1) * CELL
    else:
        size = FITTED_SIZE * rng.uniform(0.8, 1.2)
        dx, dy = rng.uniform(-CELL, CELL), rng.uniform(-CELL, CELL)
    colour = rng.choice(COLOURS) if rng.random() < _COLOURED else None
    scale: Scale = rng.choice(("big", "tiny")) if rng.random() < _SCALED else ""
    return Item(thing, place, size, dx, dy, colour, scale, fitted=True)
