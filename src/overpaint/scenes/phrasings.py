"""How each kind of edit is said: `phrasings.tsv`, a line a phrasing, with its slots.

Version 1 of the world has ten phrasings a kind, version 2 thirty and more; a fifth of each is held
out of training.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from overpaint.scenes.layout import Version

PLACE_WORDS = ("in the {}", "at the {}", "in the {} corner")


@dataclass(frozen=True)
class Phrasing:
    """A template; a `command` ("remove ...") is one that "please" fits before (version 2)."""

    text: str
    command: bool


def phrasings(kind: str, held_out: bool, version: Version = 1) -> tuple[str, ...]:
    """The templates of a kind that training uses, or those held out of it."""
    return tuple(phrasing.text for phrasing in varied(kind, held_out, version))


@cache
def varied(kind: str, held_out: bool, version: Version = 2) -> tuple[Phrasing, ...]:
    """As `phrasings`, with their forms."""
    lines = (files("overpaint.scenes") / "phrasings.tsv").read_text(encoding="utf-8").splitlines()
    table = csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t")
    chosen = ("heldout" if held_out else "train") + (" 1" if version == 1 else "")
    return tuple(
        Phrasing(row["phrasing"], row["form"] == "do")
        for row in table
        if (row["kind"], row["set"]) == (kind, chosen)
    )
