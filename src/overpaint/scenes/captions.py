"""Captions in varied natural language, and the words that instructions are filled with."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from overpaint.scenes.catalogue import Thing
from overpaint.scenes.layout import Item, Scene

_FRAMES = (
    "{items} on {a_bg} background",
    "{items} on {bg}",
    "a picture of {items} on {a_bg} background",
    "{a_bg} background with {items}",
    "an illustration of {items} in front of {a_bg} background",
    "{items}, {bg} background",
)
_LOOKS = {
    "plain": "{}",
    "line drawing": "a line drawing of {}",
    "greyscale": "{} in black and white",
    "night": "{} at night",
}


@dataclass(frozen=True)
class Voice:
    """One way of captioning, so that both captions of a pair are said alike."""

    frame: str
    with_places: bool
    synonym: int  # which synonym stands for an object's name; 0: the name itself


def sample_voice(rng: Random, with_places: bool = False) -> Voice:
    """Draw a way of captioning; half of them name the places (all, if asked), one in seven uses
    synonyms."""
    return Voice(
        frame=rng.choice(_FRAMES),
        with_places=rng.random() < 0.5 or with_places,
        synonym=rng.choice((1, 2)) if rng.random() < 0.15 else 0,
    )


def word(thing: Thing, synonym: int = 0) -> str:
    """The object's name, or its nth synonym where it has one."""
    if not synonym or not thing.synonyms:
        return thing.name
    return thing.synonyms[(synonym - 1) % len(thing.synonyms)]


def with_article(noun: str, thing: Thing) -> str:
    """`a cat`, `an apple`, `some grapes`; a synonym ("bunch of grapes") takes a or an."""
    if noun == thing.name:
        return f"{thing.article} {noun}"
    if noun.endswith("s") and " of " not in noun and thing.article == "some":
        return f"some {noun}"
    return f"{a_or_an(noun)} {noun}"


def caption(scene: Scene, voice: Voice) -> str:
    """What a person would say that the scene shows."""
    said = [_say(item, voice) for item in scene.items]
    items = " and ".join((", ".join(said[:-1]), said[-1])) if len(said) > 1 else "".join(said)
    background = scene.background if scene.look == "plain" else _toned(scene)
    if not said:
        return _LOOKS[scene.look].format(f"an empty {background} background")
    if scene.look == "line drawing":
        return _LOOKS[scene.look].format(items)
    a_background = f"{a_or_an(background)} {background}"
    framed = voice.frame.format(items=items, bg=background, a_bg=a_background)
    return _LOOKS[scene.look].format(framed)


def a_or_an(following: str) -> str:
    """The article before a word that starts so."""
    return "an" if following[0] in "aeiou" else "a"


def _toned(scene: Scene) -> str:
    return {"greyscale": "grey", "night": f"dark {scene.background}"}.get(scene.look, "white")


def _say(item: Item, voice: Voice) -> str:
    noun = word(item.thing, voice.synonym)
    words = [w for w in (item.scale, item.colour) if w]
    if words and with_article(noun, item.thing).startswith("some "):
        said = " ".join(("some", *words, noun))
    elif words:
        said = " ".join((a_or_an(words[0]), *words, noun))
    else:
        said = with_article(noun, item.thing)
    return f"{said} in the {item.place}" if voice.with_places else said
