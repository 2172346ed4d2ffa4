"""How each kind of edit is said.

Version 1: ten phrasings a kind, the last two held out of training. Slots: {x} an object in the
picture, {y} another (new or present), {colour}, {place}; {a_y} and {a_colour} come with their
article, {to_place} with "to the".

Version 2: thirty and more a kind, a fifth held out; `phrasings.tsv` says which slots they have.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from overpaint.scenes.layout import Version

HELD_OUT = 2  # phrasings at the end of each list that no training pair uses: a fifth

PHRASINGS: dict[str, tuple[str, ...]] = {
    "replace": (
        "turn the {x} into {a_y}",
        "replace the {x} with {a_y}",
        "change the {x} to {a_y}",
        "make the {x} {a_y}",
        "swap the {x} for {a_y}",
        "put {a_y} where the {x} is",
        "the {x} should be {a_y}",
        "transform the {x} into {a_y}",
        "exchange the {x} for {a_y}",
        "let the {x} become {a_y}",
    ),
    "add at": (
        "add {a_y} {place}",
        "put {a_y} {place}",
        "place {a_y} {place}",
        "draw {a_y} {place}",
        "insert {a_y} {place}",
        "there should be {a_y} {place}",
        "{place}, add {a_y}",
        "paint {a_y} {place}",
        "give me {a_y} {place}",
        "{place}, put {a_y}",
    ),
    "add": (
        "add {a_y}",
        "put {a_y} somewhere",
        "add {a_y} to the picture",
        "draw {a_y} anywhere",
        "insert {a_y}",
        "there should also be {a_y}",
        "include {a_y}",
        "paint {a_y} somewhere",
        "give the scene {a_y} too",
        "bring in {a_y}",
    ),
    "remove": (
        "remove the {x}",
        "delete the {x}",
        "take the {x} away",
        "erase the {x}",
        "get rid of the {x}",
        "there should be no {x}",
        "drop the {x}",
        "make the {x} disappear",
        "wipe out the {x}",
        "take away the {x}",
    ),
    "background": (
        "make the background {colour}",
        "change the background to {colour}",
        "turn the background {colour}",
        "{colour} background",
        "paint the background {colour}",
        "set the background to {colour}",
        "the background should be {colour}",
        "give it {a_colour} background",
        "put everything on {colour}",
        "colour the background {colour}",
    ),
    "recolour": (
        "make the {x} {colour}",
        "paint the {x} {colour}",
        "turn the {x} {colour}",
        "colour the {x} {colour}",
        "change the {x} to {colour}",
        "the {x} should be {colour}",
        "give me {a_colour} {x}",
        "recolour the {x} to {colour}",
        "dye the {x} {colour}",
        "let the {x} be {colour}",
    ),
    "move": (
        "move the {x} {to_place}",
        "put the {x} {place}",
        "shift the {x} {to_place}",
        "the {x} should be {place}",
        "place the {x} {place}",
        "bring the {x} {to_place}",
        "drag the {x} {to_place}",
        "move the {x} so that it is {place}",
        "relocate the {x} {to_place}",
        "set the {x} down {place}",
    ),
    "swap": (
        "swap the {x} and the {y}",
        "let the {x} and the {y} change places",
        "exchange the {x} and the {y}",
        "switch the {x} with the {y}",
        "swap the places of the {x} and the {y}",
        "switch the positions of the {x} and the {y}",
        "put the {x} where the {y} is and the {y} where the {x} is",
        "the {x} and the {y} should trade places",
        "trade the {x} and the {y}",
        "interchange the {x} and the {y}",
    ),
    "enlarge": (
        "make the {x} bigger",
        "enlarge the {x}",
        "make the {x} larger",
        "grow the {x}",
        "the {x} should be bigger",
        "increase the size of the {x}",
        "scale up the {x}",
        "a bigger {x}",
        "blow up the {x}",
        "let the {x} grow",
    ),
    "shrink": (
        "make the {x} smaller",
        "shrink the {x}",
        "make the {x} tiny",
        "reduce the {x}",
        "the {x} should be smaller",
        "decrease the size of the {x}",
        "scale down the {x}",
        "a smaller {x}",
        "make the {x} little",
        "let the {x} shrink",
    ),
    "line drawing": (
        "make it a line drawing",
        "turn it into a line drawing",
        "as a line drawing",
        "show only the outlines",
        "make it a sketch",
        "turn this into a pen sketch",
        "draw it with lines only",
        "convert it to line art",
        "make a line sketch of it",
        "outlines only, please",
    ),
    "greyscale": (
        "make it black and white",
        "turn it into greyscale",
        "remove all colour",
        "make it grey",
        "convert it to greyscale",
        "a black and white photo",
        "take the colours out",
        "make it colourless",
        "turn it black and white",
        "no colours, please",
    ),
    "night": (
        "make it night",
        "turn it into night",
        "it should be night",
        "as if at night",
        "make it dark",
        "let it be night time",
        "change the time to night",
        "turn off the light",
        "show it at night",
        "make it night time",
    ),
}

PLACE_WORDS = ("in the {}", "at the {}", "in the {} corner")


@dataclass(frozen=True)
class Phrasing:
    """One of version 2; a `command` ("remove ...") is one that "please" fits before."""

    text: str
    command: bool


def phrasings(kind: str, held_out: bool, version: Version = 1) -> tuple[str, ...]:
    """The templates of a kind that training uses, or those held out of it."""
    if version == 2:
        return tuple(phrasing.text for phrasing in varied(kind, held_out))
    every = PHRASINGS[kind]
    return every[-HELD_OUT:] if held_out else every[:-HELD_OUT]


@cache
def varied(kind: str, held_out: bool) -> tuple[Phrasing, ...]:
    """Version 2's templates of a kind that training uses, or those held out of it."""
    lines = (files("overpaint.scenes") / "phrasings.tsv").read_text(encoding="utf-8").splitlines()
    table = csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t")
    chosen = "heldout" if held_out else "train"
    return tuple(
        Phrasing(row["phrasing"], row["form"] == "do")
        for row in table
        if (row["kind"], row["set"]) == (kind, chosen)
    )
