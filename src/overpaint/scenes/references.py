"""What an object of a scene may be called besides its name: by its colour, size or place.

Only what names one object alone: "the red one" where nothing else in the picture shows red.
"""

from __future__ import annotations

from functools import cache
from random import Random

import numpy as np

from overpaint.scenes.layout import Item, Scene
from overpaint.scenes.rendering import sprite

_NOUNS = ("one", "object", "thing")
_SIZES = {"big": ("big", "bigger", "large"), "tiny": ("tiny", "small", "smaller")}
_LEFT = ("{} on the left", "left {}", "{} on the left side")
_SIDES = {
    "left": _LEFT,
    "right": tuple(words.replace("left", "right") for words in _LEFT),
    "top": ("{} at the top", "top {}", "upper {}", "{} above"),
    "bottom": ("{} at the bottom", "bottom {}", "lower {}", "{} below"),
}
_CORNER = ("{} in the {}", "{} at the {}", "{} in the {} corner")
_PLAIN = 0.7  # share of the references that are by name alone

# OpenMoji draws in few colours. Those left out (greys, browns, black) have no name in the palette.
_NAMES = {
    "red": ("ea5a47", "d22f27"),
    "orange": ("e27022", "f4aa41"),
    "yellow": ("fcea2b", "f1b31c"),
    "green": ("b1cc33", "5c9e31"),
    "blue": ("92d3f5", "61b2e4", "1e50a0"),
    "purple": ("b399c8", "8967aa"),
    "pink": ("ffa7c0", "e67a94"),
    "white": ("ffffff",),
}
_MOST, _SOME = 0.6, 0.04  # shares of a drawing's coloured pixels


def refer(scene: Scene, index: int, name: str, rng: Random) -> str:
    """Words for the object `index` of a scene, to stand after "the"; `name` is what it is."""
    if rng.random() < _PLAIN:
        return name
    ways = [*_by_looks(scene, index, name), *_by_place(scene, index, name)]
    return rng.choice(rng.choice(ways))


def colours_of(item: Item) -> dict[str, float]:
    """The palette's colours that an object shows, with their shares of its coloured pixels."""
    return {item.colour: 1.0} if item.colour else _natural(item.thing.file)


@cache
def _natural(file: str) -> dict[str, float]:
    art = sprite(file, 72, None, False, True)
    solid = art[art[..., 3] == 255][:, :3]
    solid = solid[solid.any(axis=1)]  # without the black lines
    shades = {n: [list(bytes.fromhex(h)) for h in hexes] for n, hexes in _NAMES.items()}
    shares = {
        name: sum(float((solid == shade).all(axis=1).sum()) for shade in np.array(known))
        for name, known in shades.items()
    }
    return {name: share / max(1, len(solid)) for name, share in shares.items() if share}


def _by_looks(scene: Scene, index: int, name: str) -> list[tuple[str, ...]]:
    """By colour and by size, each with the general nouns and with the object's own name."""
    item = scene.items[index]
    others = [other for at, other in enumerate(scene.items) if at != index]
    ways = []
    for colour, share in colours_of(item).items():
        if share >= _MOST and all(colours_of(o).get(colour, 0) < _SOME for o in others):
            ways.append(tuple(f"{colour} {noun}" for noun in _NOUNS))
    if item.colour:
        ways.append((f"{item.colour} {name}",))
    if item.scale:
        ways.append((f"{item.scale} {name}",))
        if others and all(other.scale != item.scale for other in others):
            ways.append(tuple(f"{size} {noun}" for size in _SIZES[item.scale] for noun in _NOUNS))
    return ways


def _by_place(scene: Scene, index: int, name: str) -> list[tuple[str, ...]]:
    """By the side on which nothing else stands, and by the corner."""
    place = scene.items[index].place
    row, column = place.split()
    taken = [other.place.split() for at, other in enumerate(scene.items) if at != index]
    corner = tuple(words.format(noun, place) for words in _CORNER for noun in (*_NOUNS, name))
    if not taken:
        return [("object", "thing"), corner]
    templates: list[str] = []
    if all(theirs[1] != column for theirs in taken):
        templates += _SIDES[column]
    if all(theirs[0] != row for theirs in taken):
        templates += _SIDES[row]
    ways = [tuple(words.format(noun) for words in templates for noun in (*_NOUNS, name))]
    return [*(way for way in ways if way), corner]
