"""Kinds of edit: what they ask for, how a set is balanced over them, how one is recognised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

# kind → what a writer is told that it means
KINDS: dict[str, str] = {
    "object": "turn one thing into another thing",
    "attribute": "change the colour, material, size, age or expression of a thing",
    "background": "change the place or the background",
    "style": "change the artistic style",
    "add": "add a thing that is not there",
    "remove": "remove a thing",
    "time": "change the season, the weather or the time of day",
    "medium": "change the medium, such as a photo into an oil painting or a sculpture",
}

# The first that is found decides; an instruction without any of them is about an object.
_SIGNS: tuple[tuple[str, str], ...] = (
    ("remove", r"\b(remove|delete|erase|take (away|out|off)|get rid|without|no more|disappear)\b"),
    (
        "background",
        r"\b(background|backdrop|in the (desert|forest|jungle|city|mountains?)|in space|underwater"
        r"|on the (moon|beach)|move (it|him|her|them) to|set (it )?in)\b",
    ),
    (
        "time",
        r"\b(night|evening|morning|midnight|noon|dawn|dusk|sunset|sunrise|daytime|winter|summer"
        r"|autumn|fall|spring|snow\w*|rain\w*|fog\w*|mist\w*|storm\w*|sunny|cloudy|season|weather)\b",
    ),
    (
        "medium",
        r"\b(photo\w*|painting|watercolou?r|oil|sketch|drawing|pencil|charcoal|sculpture|statue"
        r"|mosaic|embroidery|poster|lego|origami|collage|engraving|3d|render\w*|stained glass)\b",
    ),
    (
        "style",
        r"\b(style|cartoon|anime|animated|cubis\w*|impressionis\w*|surreal\w*|abstract|pop art"
        r"|pixel|vintage|retro|futuristic|cyberpunk|steampunk|gothic|caricature|by (van|pablo|claude))\b",
    ),
    ("add", r"^(\w+ )?\b(add|put|include|insert|place|give|have|draw|let there be)\b|\bwearing\b"),
    (
        "attribute",
        r"\b(red|orange|yellow|green|blue|purple|violet|pink|brown|black|white|grey|gray|gold\w*"
        r"|silver|colou?r\w*|wooden|wood|metal|glass|marble|stone|old\w*|young\w*|big\w*|small\w*"
        r"|tiny|giant|huge|happy|sad|angry|smil\w+|shiny|striped|transparent|tall\w*)\b",
    ),
)  # fmt: skip
_PATTERNS = tuple((kind, re.compile(pattern)) for kind, pattern in _SIGNS)


def guess_kind(edit_prompt: str) -> str:
    """The kind that the words of an instruction point to, for data that does not say it."""
    text = edit_prompt.casefold()
    return next((kind for kind, pattern in _PATTERNS if pattern.search(text)), "object")


def draw_kinds(mix: Mapping[str, float], count: int, seed: int) -> list[str]:
    """`count` kinds by weight, none twice before every kind with a weight has come once."""
    draw = Random(seed)
    chosen: list[str] = []
    left: dict[str, float] = {}
    while len(chosen) < count:
        left = left or {kind: weight for kind, weight in mix.items() if weight > 0}
        kind = draw.choices(list(left), list(left.values()))[0]
        del left[kind]
        chosen.append(kind)
    return chosen
