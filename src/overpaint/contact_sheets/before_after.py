"""Strips for a page: a picture, an instruction, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from overpaint.contact_sheets.contact_sheet import GAP, MARGIN, PAPER, fit, paste_framed
from overpaint.contact_sheets.lettering import Colour, wrap

_WORDS = 19
_ARROW: Colour = (130, 139, 148)
_MAX_LINES = 5
_FINE = 4  # the arrow is drawn larger by this and shrunk, so that its edges are smooth


@dataclass(frozen=True)
class BeforeAfter:
    """One picture, one instruction and its results (several: other seeds)."""

    original: Image.Image
    instruction: str
    edited: Sequence[Image.Image]


def before_after(
    strips: Sequence[BeforeAfter], *, columns: int = 1, side: int = 192, between: int = 190
) -> Image.Image:
    """Rows of (before, instruction over an arrow, after ...), `columns` strips side by side.

    Args:
        strips: at least one; those with fewer results leave room at their right.
        columns: strips in a row.
        side: pixels for the longer side of a picture; see `contact_sheet`.
        between: pixels for the instruction.

    Returns:
        An RGB picture, as large as it needs to be.

    Raises:
        ValueError: no strips.
    """
    columns = min(columns, len(strips))
    if columns < 1:
        raise ValueError("a strip of before and after needs at least one example")
    results = max(len(strip.edited) for strip in strips)
    wide = side + between + results * side + max(0, results - 1) * GAP // 2
    rows = -(-len(strips) // columns)
    apart = 2 * MARGIN  # a strip must not read on into its neighbour
    size = (
        2 * MARGIN + columns * wide + (columns - 1) * apart,
        2 * MARGIN + rows * side + (rows - 1) * GAP,
    )
    sheet = Image.new("RGB", size, PAPER)
    for index, strip in enumerate(strips):
        row, column = divmod(index, columns)
        at = (MARGIN + column * (wide + apart), MARGIN + row * (side + GAP))
        _draw_strip(sheet, strip, at, side, between)
    return sheet


def _draw_strip(
    sheet: Image.Image, strip: BeforeAfter, at: tuple[int, int], side: int, between: int
) -> None:
    """One strip with its top left corner at `at`."""
    x, y = at
    _paste_centred(sheet, strip.original, (x, y), side)
    words = wrap(strip.instruction, _WORDS, between - 2 * GAP, max_lines=_MAX_LINES)
    middle, top = x + side + between // 2, y + (side - words.height - 24) // 2
    words.draw(ImageDraw.Draw(sheet), (middle, top), anchor="m")
    _draw_arrow(sheet, (middle, top + words.height + 14), between - 4 * GAP)
    for index, picture in enumerate(strip.edited):
        left = x + side + between + index * (side + GAP // 2)
        _paste_centred(sheet, picture, (left, y), side)


def _paste_centred(sheet: Image.Image, image: Image.Image, at: tuple[int, int], side: int) -> None:
    picture = fit(image, side)
    left, top = (side - picture.width) // 2, (side - picture.height) // 2
    paste_framed(sheet, picture, (at[0] + left, at[1] + top))


def _draw_arrow(sheet: Image.Image, middle: tuple[int, int], length: int) -> None:
    """An arrow to the right, centred on `middle`."""
    head, shaft = 6, 1
    size = (length, 2 * head + 1)
    mask = Image.new("L", (size[0] * _FINE, size[1] * _FINE))
    draw = ImageDraw.Draw(mask)
    right, centre = mask.width - 1, mask.height // 2
    draw.rectangle((0, centre - shaft * _FINE, right - head * _FINE, centre + shaft * _FINE), 255)
    draw.polygon([(right, centre), (right - 2 * head * _FINE, 0),
                  (right - 2 * head * _FINE, mask.height - 1)], 255)  # fmt: skip
    mask = mask.resize(size, Image.Resampling.LANCZOS)
    sheet.paste(_ARROW, (middle[0] - length // 2, middle[1] - head), mask)
