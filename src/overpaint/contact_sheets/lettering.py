"""Words on pictures: a font that has their letters, and lines that fit a width.

The package carries one font, DejaVu Sans with Latin, Greek, Cyrillic, Armenian and Georgian letters
(see `fonts/README.md`), so that such words look the same on every machine. Other writing is drawn in
the common system font that has most of its letters; letters that none has appear as boxes.
"""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[int, int, int]

INK: Colour = (31, 35, 40)
GREY: Colour = (101, 109, 118)

_SYSTEM_FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf"),
    *("Arial.ttf", "segoeui.ttf", "Arial Unicode.ttf"),
    *("NotoSansCJK-Regular.ttc", "DroidSansFallback.ttf", "PingFang.ttc", "msyh.ttc"),
)
_ELLIPSIS = "…"
_NO_BREAK = "\N{NO-BREAK SPACE}"
_NO_CHARACTER = "\uffff"  # never assigned, so every font draws its "missing" glyph


def in_words(options: Mapping[str, Any]) -> str:
    """Options as on a command line; a line break never parts an option from its value."""
    return " ".join(f"{name}{_NO_BREAK}{_value(value)}" for name, value in options.items())


def line_height(size: int) -> int:
    """Pixels from one line to the next for letters of `size` pixels."""
    return round(size * 1.35)


@dataclass(frozen=True)
class Words:
    """Lines of text in one font, measured and ready to be drawn."""

    lines: tuple[str, ...]
    font: Font
    size: int

    @property
    def width(self) -> int:
        """Pixels of the longest line."""
        return math.ceil(max(map(self.font.getlength, self.lines), default=0))

    @property
    def height(self) -> int:
        """Pixels of all lines."""
        return len(self.lines) * line_height(self.size)

    def draw(
        self,
        draw: ImageDraw.ImageDraw,
        at: tuple[int, int],
        colour: Colour = INK,
        *,
        anchor: str = "l",
    ) -> None:
        """Draw downwards from `at`, where the left ("l") or the middle ("m") of each line is."""
        x, y = at
        for index, line in enumerate(self.lines):
            baseline = y + index * line_height(self.size) + round(1.05 * self.size)
            draw.text((x, baseline), line, colour, self.font, anchor=f"{anchor}s")


def set_line(text: str, size: int) -> Words:
    """`text` on one line, as long as it is."""
    text = _drawable(text)
    return Words((text,) if text else (), font_for(text, size), size)


def wrap(text: str, size: int, width: int, *, max_lines: int) -> Words:
    """Break `text` into at most `max_lines` lines of at most `width` pixels.

    Breaks at spaces that are not no-break spaces, within a word only where it is wider than a line.
    Text that does not fit ends in an ellipsis. No text, no lines.
    """
    text = _drawable(text[: width * max_lines])  # no letter is narrower than a pixel
    font = font_for(text + _ELLIPSIS, size)
    lines: list[str] = []
    line = ""
    for word in filter(None, text.split(" ")):
        if font.getlength(longer := f"{line} {word}".lstrip()) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while font.getlength(word) > width:
            end = _fitting(word, font, width)
            lines.append(word[:end])
            word = word[end:]
        line = word
        if len(lines) > max_lines:
            break
    lines += [line] if line else []
    if len(lines) > max_lines:
        last = lines[max_lines - 1]
        while last and font.getlength(last + _ELLIPSIS) > width:
            last = last[:-1]
        lines = [*lines[: max_lines - 1], last.rstrip() + _ELLIPSIS]
    return Words(tuple(lines), font, size)


def font_for(text: str, size: int) -> Font:
    """The font that has most letters of `text`: the package's own where others have no more."""
    own, letters = _own_font(size), frozenset(text)
    if _missing(own, letters) == 0:
        return own
    others = (_system_font(name, size) for name in _SYSTEM_FONTS)
    fonts = [own, *(font for font in others if font is not None)]
    return min(fonts, key=lambda font: _missing(font, letters))


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _drawable(text: str) -> str:
    """One line of printable characters, accents joined to their letters (NFC)."""
    kept = "".join(c if c.isprintable() or c == _NO_BREAK else " " for c in text)
    return unicodedata.normalize("NFC", " ".join(filter(None, kept.split(" "))))


def _fitting(word: str, font: Font, width: int) -> int:
    """How many letters of a word fit, at least one."""
    end = 1
    while end < len(word) and font.getlength(word[: end + 1]) <= width:
        end += 1
    return end


def _missing(font: Font, letters: frozenset[str]) -> int:
    return sum(not _has_letter(font, letter) for letter in letters)


@lru_cache(maxsize=4096)
def _has_letter(font: Font, letter: str) -> bool:
    return letter == " " or bytes(font.getmask(letter)) != bytes(font.getmask(_NO_CHARACTER))


@lru_cache
def _own_font(size: int) -> Font:
    """The package's font. Pillow's basic layout, as not every Pillow has another."""
    file = files("overpaint.contact_sheets").joinpath("fonts", "DejaVuSans.ttf")
    return ImageFont.truetype(
        io.BytesIO(file.read_bytes()), size, layout_engine=ImageFont.Layout.BASIC
    )


@lru_cache
def _system_font(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None
