"""Version 2's instructions: an edit in one of many phrasings, as people would type it."""

from __future__ import annotations

from functools import cache
from random import Random

from overpaint.scenes.captions import a_or_an, with_article, word
from overpaint.scenes.catalogue import COLOURS, Thing, catalogue
from overpaint.scenes.edits import Edit
from overpaint.scenes.layout import Scene
from overpaint.scenes.phrasings import varied
from overpaint.scenes.references import refer

_PLACES = ("in the {}", "at the {}", "in the {} corner", "on the {}", "in {}")
_TO_PLACES = ("to the {}", "to the {} corner", "into the {}", "into the {} corner", "to {}")
_CORNERS = {
    "top": ("top", "top", "top", "upper"),
    "bottom": ("bottom", "bottom", "bottom", "lower"),
}

# How a command is wrapped, and any phrasing; the second of each pair are held out of training.
_COMMANDS = (
    (
        *("please {}", "{} please", "{}, please", "could you {}", "can you {}?", "now {}"),
        *("could you please {}?", "i want you to {}", "i would like you to {}", "just {}"),
        *("hey, {}", "ok, {}", "you can {}", "try to {}", "please, {}", "{}, thanks", "{}!"),
    ),
    ("would you {}?", "kindly {}", "can you please {}", "go ahead and {}", "well, {}"),
)
_ANY = (("{} please", "{}, please", "{}, thanks", "ok, {}", "{}!"), ("so, {}", "{}, thank you"))
_WRAPPED = 0.25  # shares of the instructions, each drawn for itself
_CAPITAL, _FULL_STOP, _NO_ARTICLE, _SLIP, _SYNONYM = 0.25, 0.15, 0.08, 0.08, 0.15
_AMERICAN = 0.3


def say(edit: Edit, scene: Scene, rng: Random, held_out: bool) -> str:
    """An instruction for the edit of a scene, from training's words or those held out of it."""
    phrasing = rng.choice(varied(edit.kind, held_out))
    if edit.parts:
        first, second = (_command(part, scene, rng, held_out) for part in edit.parts)
        text = phrasing.text.format(first=first, second=second)
    else:
        text = _fill(phrasing.text, edit, scene, rng)
    if rng.random() < _WRAPPED:
        text = rng.choice((_COMMANDS if phrasing.command else _ANY)[held_out]).format(text)
    return as_typed(text, rng)


def as_typed(text: str, rng: Random) -> str:
    """The text with a person's habits: American spelling, no articles, a slip of the hand, a
    capital, a full stop."""
    if rng.random() < _AMERICAN:
        text = text.replace("colour", "color").replace("grey", "gray")
    if rng.random() < _NO_ARTICLE:
        kept = [w for w in text.split() if w not in ("the", "a", "an")]
        text = " ".join(kept) if kept else text
    if rng.random() < _SLIP:
        text = _with_slip(text, rng)
    if rng.random() < _CAPITAL:
        text = text[0].upper() + text[1:]
    if rng.random() < _FULL_STOP and text[-1].isalpha():
        text += "."
    return text


def _command(edit: Edit, scene: Scene, rng: Random, held_out: bool) -> str:
    """One of two edits in one: a command, so that both can be joined."""
    commands = [phrasing.text for phrasing in varied(edit.kind, held_out) if phrasing.command]
    return _fill(rng.choice(commands), edit, scene, rng)


def _fill(template: str, edit: Edit, scene: Scene, rng: Random) -> str:
    synonym = rng.choice((1, 2)) if rng.random() < _SYNONYM else 0
    corner = _corner(edit.place, rng) if edit.place else ""

    def name(thing: Thing | None) -> str:
        return word(thing, synonym) if thing else ""

    def the(number: int, thing: Thing | None) -> str:
        if number >= len(edit.about):
            return ""
        return f"the {refer(scene, edit.about[number], name(thing), rng)}"

    return template.format(
        x=name(edit.x),
        the_x=the(0, edit.x),
        the_y=the(1, edit.y),
        a_y=with_article(name(edit.y), edit.y) if edit.y else "",
        colour=edit.colour,
        a_colour=f"{a_or_an(edit.colour)} {edit.colour}" if edit.colour else "",
        place=rng.choice(_PLACES).format(corner),
        to_place=rng.choice(_TO_PLACES).format(corner),
    )


def _corner(place: str, rng: Random) -> str:
    row, column = place.split()
    return f"{rng.choice(_CORNERS[row])} {column}"


def _with_slip(text: str, rng: Random) -> str:
    """One word with two letters exchanged, one left out or one twice; never another known word."""
    words = text.split(" ")
    long = [at for at, w in enumerate(words) if len(w) >= 4 and w.isalpha()]
    if not long:
        return text
    at = rng.choice(long)
    before, i = words[at], rng.randrange(1, len(words[at]) - 1)
    slip = rng.choice(
        (
            before[:i] + before[i + 1] + before[i] + before[i + 2 :],
            before[:i] + before[i + 1 :],
            before[:i] + before[i] + before[i:],
        )
    )
    if slip not in _known_words():
        words[at] = slip
    return " ".join(words)


@cache
def _known_words() -> frozenset[str]:
    names = [name for thing in catalogue() for name in (thing.name, *thing.synonyms)]
    return frozenset(w for name in (*names, *COLOURS) for w in name.split())
