"""Words of languages other than English: without spaces between them, or with many endings.

Not a dictionary: what is compared are two captions and an instruction of one row, and it is
enough to see that the same word stands in two of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby

_APOSTROPHES = "'’"
_JOINERS = "\u200c\u200d"
# (first, last) code point of the scripts that are written without spaces.
_HAN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF), (0x3005, 0x3007))
_HIRAGANA = ((0x3041, 0x309F),)
_KATAKANA = ((0x30A0, 0x30FF), (0x31F0, 0x31FF))
_SOUTH_EAST = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0xA9E0, 0xA9FF))
_HANGUL = ((0xAC00, 0xD7AF),)

# Characters that say how to edit, or bind words: they prove nothing about a caption.
BINDING = frozenset(
    "把將将換换變变改為为成的地得一個个隻只在上下中里裡到和與与了是有使讓让給给請请從从向加添刪删除去掉移"
    "替追入する"
) | frozenset(chr(code) for code in range(0x3041, 0x3097))


def split_words(text: str) -> Iterator[str]:
    """The words of a text, which is in lower case.

    Each Chinese character is one. Hiragana gives every two neighbours, Thai, Lao, Burmese and
    Khmer every three: enough to find a word again whatever stands beside it.
    """
    for kind, run in groupby(text, _kind):
        if kind is None:
            continue
        word = "".join(run)
        length = _LENGTHS.get(kind)
        if length is None:
            yield from _spaced(word)
        else:
            yield from (word[i : i + length] for i in range(max(1, len(word) - length + 1)))


_LENGTHS = {"han": 1, "hiragana": 2, "south-east": 3}
_SCRIPTS: dict[str, tuple[tuple[int, int], ...]] = {
    "han": _HAN,
    "hiragana": _HIRAGANA,
    "katakana": _KATAKANA,
    "south-east": _SOUTH_EAST,
}


def _kind(character: str) -> str | None:
    """The script of a character that belongs to a word, else None."""
    if not (character.isalnum() or unicodedata.category(character)[0] == "M"):
        return "spaced" if character in _APOSTROPHES + _JOINERS else None
    return next((name for name, ranges in _SCRIPTS.items() if _in(character, ranges)), "spaced")


def _in(character: str, ranges: Iterable[tuple[int, int]]) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in ranges)


def _spaced(run: str) -> Iterator[str]:
    """A word between spaces, without what only joins or quotes."""
    for joiner in _JOINERS:
        run = run.replace(joiner, "")
    run = run.strip(_APOSTROPHES)
    if run:
        yield run


def alike(one: str, other: str) -> bool:
    """Whether two words may be forms of one: кошка and кошку, koira and koiraksi, قطة and القطة."""
    if one == other:
        return True
    short, long = sorted((one, other), key=len)
    more = len(long) - len(short)
    if _in(short[0], _HANGUL):
        return long.startswith(short) and more <= 2
    if not (short.isalpha() and long.isalpha()) or len(short) < 2:
        return False
    if long.startswith(short) and more <= (3 if len(short) < 4 else 6):
        return True
    if short in long and len(short) >= 3 and more <= 3:
        return True
    common = next((i for i in range(len(short)) if short[i] != long[i]), len(short))
    return common >= 3 and common >= 0.6 * len(long)
