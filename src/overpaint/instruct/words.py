"""What a text says, for comparing captions and instructions: words, their stems, what changed."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from overpaint.instruct.scripts import BINDING, alike, split_words

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# The two joiners stay between letters that are not Latin: they spell Persian, Hindi and emoji.
_UNSEEN = re.compile(
    r"(?<![^\x00-\u024f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\u024f])|[\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u061c\u00ad\ufeff\ud800-\udfff\x00-\x08\x0e-\x1f\x7f-\x9f]"
)

ARTICLES = frozenset("a an the".split())
# Words of an instruction that say how to edit, not what: they prove nothing about a caption.
STOP = ARTICLES | frozenset(
    "and or of in on at to into onto as with for from by be is are was were it its it's this that "
    "these those there them they he she him her his their i you we my your our me so if but not "
    "no all some any one have has should could would let can may please make makes turn change "
    "convert transform replace swap switch add put place insert include remove delete erase take "
    "give set get use have show look looks like more very also too instead where which what".split()
)


def normalise(text: str) -> str:
    """One line of composed Unicode: white space folded, unseen characters gone."""
    return " ".join(_UNSEEN.sub("", unicodedata.normalize("NFC", text)).split())


def words(text: str) -> list[str]:
    """The words of a text in order, in lower case and without punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():
        return [word.replace("’", "'").removesuffix("'s") for word in split_words(folded)]
    return [word.replace("’", "'").removesuffix("'s") for word in _WORD.findall(folded)]


def stem(word: str) -> str:
    """A word without the endings of number and of the commonest derived forms."""
    if len(word) < 4 or not word.isascii():
        return word
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return _undouble(word.removesuffix(ending) + instead)
    return word.removesuffix("e") if len(word) > 4 else word


_ENDINGS = (
    *(("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("ing", "")),
    *(("ed", ""), ("es", ""), ("ly", ""), ("ss", "ss"), ("us", "us"), ("s", "")),
)


def _undouble(word: str) -> str:
    doubled = len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls"
    return word[:-1] if doubled else word


def content_words(text: str) -> frozenset[str]:
    """The stems of the words that are not in `STOP`."""
    return frozenset(stem(word) for word in words(text) if word not in STOP | BINDING)


def is_consistent(original_prompt: str, edit_prompt: str, edited_prompt: str) -> bool:
    """Whether a content word of the instruction is among the words that the caption gained or lost.

    Words count as they are written; so measured, the 593 human-written triplets stand at 0.917.
    """
    asked = {word for word in words(edit_prompt) if word not in STOP | BINDING}
    return bool(asked & _changed(words(original_prompt), words(edited_prompt)))


def is_reflected(original_prompt: str, edit_prompt: str, edited_prompt: str) -> bool:
    """As `is_consistent`, but by stems: `dogs` is reflected by `dog`, `painted` by `paint`.

    In an instruction that is not English a word may come with any ending.
    """
    old, new = ([stem(word) for word in words(text)] for text in (original_prompt, edited_prompt))
    changed, asked = _changed(old, new), content_words(edit_prompt)
    if asked & changed:
        return True
    if _ENGLISH & set(words(edit_prompt)):
        return False
    telling = changed - STOP - BINDING
    return any(alike(one, other) for one in asked for other in telling)


# Words of which one stands in nearly every English instruction, and hardly in one of another
# language that is written in Latin letters.
_ENGLISH = frozenset(
    "the turn make makes add change put remove replace with into convert transform swap switch "
    "insert delete erase give have has should would could this that them these those "
    "please look looks like and it".split()
)


def _changed(before: list[str], after: list[str]) -> set[str]:
    """What `after` has more often or more seldom than `before`."""
    old, new = Counter(before), Counter(after)
    return set(old - new) | set(new - old)


def is_no_op(original_prompt: str, edited_prompt: str) -> bool:
    """Whether two captions say the same but for case, punctuation and articles."""
    old, new = (
        [word for word in words(text) if word not in ARTICLES]
        for text in (original_prompt, edited_prompt)
    )
    return old == new


def near_key(text: str) -> str:
    """Texts that differ in case, punctuation, articles and number only have the same key."""
    return " ".join(stem(word) for word in words(text) if word not in ARTICLES)
