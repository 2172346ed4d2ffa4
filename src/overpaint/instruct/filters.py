"""Cleaning captions and triplets: which are kept, and the reason for each that is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from overpaint.instruct.words import is_no_op, is_reflected, near_key, normalise, words
from overpaint.rows import MAX_CAPTION, MAX_INSTRUCTION, TRIPLET_COLUMNS, Triplet
from overpaint.tally import DUPLICATE, EMPTY, NO_OP, OVER_LONG, Tally

# Reasons, in the words of the summary.
NO_WORDS = "no words in it"
NEAR_DUPLICATE = "near-duplicate"
NOT_REFLECTED = "the edited caption does not reflect the instruction"
META_TALK = "refusal or talk about the task"
DELIMITER = "a delimiter of the text format inside"

_META = re.compile(
    r"^(sure|certainly|of course|absolutely|okay|here('s| is| are)|as an? (ai|language|assistant)"
    r"|i('m| am) (sorry|unable|not able|an ai)|i (can ?not|can't|won't|will not)|sorry\b"
    r"|unfortunately|please (provide|note|let me)|note that|(edit|edited|original|new|output|input"
    r"|instruction|caption|answer|example)( \w+)?\s*:)"
    r"|\b(as an ai|language model|(edited|original|new|given|provided) (caption|prompt)"
    r"|the (caption|instruction)s?\b|cannot (comply|assist|help))",
    re.IGNORECASE,
)
_DELIMITER = re.compile(r"(^|\s)(##|%%)(\s|$)")


def clean_caption(text: str) -> str:
    """A caption in one line."""
    return normalise(text)


def clean_instruction(text: str) -> str:
    """An instruction in one line, without quotes round it or a full stop at its end."""
    text = normalise(text)
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        text = text[1:-1].strip()
    stops = [character for character in text if character in _FULL_STOPS]
    return text[:-1] if len(stops) == 1 and text[-1] == stops[0] else text


_QUOTES = {'""', "''", "``", "“”", "‘’", "„“", "«»", "「」", "『』"}
_FULL_STOPS = ".。．｡।۔"


def clean_triplet(triplet: Triplet) -> Triplet:
    """A triplet with its three texts cleaned."""
    return replace(
        triplet,
        original_prompt=clean_caption(triplet.original_prompt),
        edit_prompt=clean_instruction(triplet.edit_prompt),
        edited_prompt=clean_caption(triplet.edited_prompt),
    )


def fault_of_caption(caption: str) -> str | None:
    """Why a cleaned caption is of no use, or None."""
    if not caption:
        return EMPTY
    if len(caption) > MAX_CAPTION:
        return OVER_LONG
    if not words(caption):
        return NO_WORDS
    return DELIMITER if _DELIMITER.search(caption) else None


def fault_of_triplet(triplet: Triplet, *, need_reflection: bool = True) -> str | None:
    """Why a cleaned triplet is of no use, or None.

    `need_reflection` asks that a content word of the instruction be gained or lost by the
    caption. It costs right edits too (`make it vintage` → `an old photo of ...`: about one in
    seventeen of the human-written rows), and keeps out those that only look right.
    """
    texts = [getattr(triplet, name) for name in TRIPLET_COLUMNS]
    original, edit, edited = texts
    if not all(texts):
        return EMPTY
    if len(original) > MAX_CAPTION or len(edited) > MAX_CAPTION or len(edit) > MAX_INSTRUCTION:
        return OVER_LONG
    if not all(words(text) for text in texts):
        return NO_WORDS
    if any(_DELIMITER.search(text) for text in texts):
        return DELIMITER
    if _META.search(edit) or (_META.search(edited) and not _META.search(original)):
        return META_TALK
    if is_no_op(original, edited):
        return NO_OP
    if need_reflection and not is_reflected(original, edit, edited):
        return NOT_REFLECTED
    return None


def keep_captions(captions: Iterable[str], tally: Tally) -> Iterator[str]:
    """The cleaned captions that are of use, each once; the others are counted in `tally`.

    Captions that differ in case, punctuation, articles and number only are near-duplicates.
    """
    seen = _Seen()
    for caption in captions:
        tally.seen += 1
        cleaned = clean_caption(caption)
        fault = fault_of_caption(cleaned) or seen.fault((cleaned,))
        if fault:
            tally.reject(fault, cleaned)
        else:
            yield cleaned


def keep_triplets(
    triplets: Iterable[Triplet], tally: Tally, *, need_reflection: bool = True
) -> Iterator[Triplet]:
    """The cleaned triplets that are of use, each caption and instruction once."""
    seen = _Seen()
    for triplet in triplets:
        tally.seen += 1
        cleaned = clean_triplet(triplet)
        fault = fault_of_triplet(cleaned, need_reflection=need_reflection)
        fault = fault or seen.fault((cleaned.original_prompt, cleaned.edit_prompt))
        if fault:
            tally.reject(fault, show(cleaned))
        else:
            yield cleaned


def show(triplet: Triplet) -> str:
    """A triplet in one line."""
    return " | ".join(getattr(triplet, name) for name in TRIPLET_COLUMNS)


class _Seen:
    """Remembers texts, to find those that come again."""

    def __init__(self) -> None:
        self._texts: set[tuple[str, ...]] = set()
        self._keys: set[tuple[str, ...]] = set()

    def fault(self, texts: tuple[str, ...]) -> str | None:
        """`DUPLICATE`, `NEAR_DUPLICATE`, or None for what is new (and remembered)."""
        key = tuple(near_key(text) for text in texts)
        if texts in self._texts:
            return DUPLICATE
        if key in self._keys:
            return NEAR_DUPLICATE
        self._texts.add(texts)
        self._keys.add(key)
        return None
