"""Whether what an edit is asked for makes sense."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from overpaint.errors import UserError
from overpaint.families.contract import Card
from overpaint.models.encoding import shorten
from overpaint.sampler import SamplerSettings

MAX_SEED = 2**63 - 1
_EXAMPLE = "say what to change, such as 'make it night'"


def whole_number(value: Any, name: str) -> int:
    """`value` as Python's own integer; NumPy's and others that stand for one are accepted.

    Raises:
        UserError: it is no integer.
    """
    try:
        return operator.index(value)
    except TypeError:
        shown = shorten(repr(value))
        raise UserError(f"{name} {shown} does not work: give a whole number.") from None


def check_texts(instructions: Sequence[str]) -> list[str]:
    """The instructions, if each of them is one.

    Raises:
        UserError: there are none, or one is empty or no valid text.
    """
    if not instructions:
        raise UserError(f"there is no instruction: {_EXAMPLE}.")
    for text in instructions:
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"an instruction is empty: {_EXAMPLE}.")
        try:
            text.encode()
        except UnicodeEncodeError:  # bytes of the command line that are no UTF-8 come as surrogates
            raise UserError(
                f"the instruction {shorten(ascii(text))} is not valid text in UTF-8: "
                "write it in UTF-8, or without the characters that are shown with a backslash."
            ) from None
    return list(instructions)


def check_seeds(seed: int, num: int) -> list[int]:
    """The seeds `seed`, `seed + 1`, ..., `num` of them.

    Raises:
        UserError: there would be none, or one is no number that a random stream takes.
    """
    seed, num = whole_number(seed, "seed"), whole_number(num, "num")
    if num < 1:
        raise UserError(f"num {num} does not work: it must be at least 1.")
    if not 0 <= seed <= MAX_SEED - num:
        raise UserError(f"seed {shorten(str(seed))} does not work: take a number from 0 to 2^63.")
    return list(range(seed, seed + num))


def seeds_of(seed: int | Sequence[int], count: int) -> list[int]:
    """A seed for each of `count` pictures: their own, or the one that is given for all.

    Raises:
        UserError: their number differs from `count`, or as `check_seeds`.
    """
    given: list[Any] = [seed] * count
    if (
        isinstance(seed, Iterable) and getattr(seed, "ndim", 1) > 0
    ):  # an array of no axes is a number
        given = list(seed)
    if len(given) != count:
        raise UserError(f"{count} pictures do not match {len(given)} seeds.")
    return [one for number in given for one in check_seeds(number, 1)]


def sampler_settings(given: Mapping[str, Any]) -> SamplerSettings:
    """The settings that keyword arguments name; NumPy's and others' numbers are numbers.

    Raises:
        UserError: a value is none that this setting can have.
        TypeError: there is no setting of this name.
    """
    fields = SamplerSettings.model_fields
    unknown = sorted(given.keys() - fields.keys())
    if unknown:
        raise TypeError(f"there is no sampler setting {unknown[0]!r}, only {', '.join(fields)}")
    values: dict[str, Any] = {
        name: _number(value, name, whole=int in get_args(fields[name].annotation))
        for name, value in given.items()
        if value is not None
    }
    try:
        return SamplerSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name, why = first["loc"][0], first["msg"].replace("Input should be ", "it must be ")
        raise UserError(f"{name} {shorten(str(first['input']))} does not work: {why}.") from None


def _number(value: Any, name: str, *, whole: bool) -> int | float:
    if whole:
        return whole_number(value, name)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(f"{name} {shorten(repr(value))} does not work: give a number.") from None


def complete_settings(settings: SamplerSettings, card: Card) -> SamplerSettings:
    """The settings with the editor's own where one is left out.

    Raises:
        UserError: this editor cannot take so many steps, or has no such scale.
    """
    for name in ("guidance_scale", "image_guidance_scale"):
        if getattr(settings, name) is not None and name not in card.scales:
            raise UserError(f"{card.name} has no {name}: leave it out.")
    whole = settings.over(card.defaults)
    steps = whole.num_inference_steps
    if steps is None or not steps <= card.most_steps:
        raise UserError(f"{steps} steps do not work: take from 1 to {card.most_steps}.")
    return whole
