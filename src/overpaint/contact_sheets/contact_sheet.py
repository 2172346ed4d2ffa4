"""Contact sheets: pictures in rows and columns, each with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from overpaint.contact_sheets.lettering import (
    GREY,
    INK,
    Colour,
    Words,
    wrap,
)

PAPER: Colour = (255, 255, 255)
FRAME: Colour = (208, 215, 222)

MARGIN, GAP, TEXT_GAP = 28, 20, 8
TITLE, HEADER, CAPTION, DETAIL = 21, 15, 16, 13
_MAX_TITLE_LINES, _MAX_CAPTION_LINES, _MAX_DETAIL_LINES, _MAX_HEADER_LINES = 3, 4, 3, 6
_ROW_HEADER_WIDTH = 220  # pixels, at most


@dataclass(frozen=True)
class Cell:
    """A picture, what was asked for, and below it in grey how it was made."""

    image: Image.Image
    caption: str = ""
    detail: str = ""


def contact_sheet(
    cells: Sequence[Cell],
    columns: int,
    *,
    title: str = "",
    subtitle: str = "",
    lead: Cell | None = None,
    column_headers: Sequence[str] = (),
    row_headers: Sequence[str] = (),
    side: int = 256,
) -> Image.Image:
    """Lay out `cells` row by row.

    Args:
        cells: at least one; the last row may be shorter than the others.
        columns: pictures in a row; at most as many columns are drawn as there are cells.
        title: a line above everything.
        subtitle: below the title in grey, for what holds of all cells.
        lead: a picture above the rows, left of the title, for what all cells were made from.
        column_headers: one a column, above it.
        row_headers: one a row, at its left.
        side: pixels that the longer side of a picture may take; a larger picture is shrunk, a
            smaller one enlarged by the largest whole factor that fits, its pixels kept square.

    Returns:
        An RGB picture, as large as it needs to be.

    Raises:
        ValueError: no cells, or headers that do not match the rows or columns.
    """
    columns = min(columns, len(cells))
    rows = [_Row.of(row, side) for row in _in_rows(cells, columns, column_headers, row_headers)]
    beside = [_header(text, _ROW_HEADER_WIDTH) for text in row_headers]
    above = [_header(text, side) for text in column_headers]
    gutter = max((words.width + GAP for words in beside), default=0)
    wide = gutter + columns * side + (columns - 1) * GAP
    heading = _Heading.of(title, subtitle, lead, wide, side)
    headers = max((words.height + TEXT_GAP for words in above), default=0)
    top = MARGIN + heading.height
    heights = [row.height for row in rows]
    if beside:
        heights = [max(h, words.height) for h, words in zip(heights, beside, strict=True)]
    tall = headers + sum(heights) + (len(rows) - 1) * GAP
    sheet = Image.new("RGB", (2 * MARGIN + max(wide, heading.width), top + tall + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    heading.draw(sheet, draw)
    lefts = [MARGIN + gutter + i * (side + GAP) for i in range(columns)]
    for left, words in zip(lefts, above, strict=False):
        words.draw(draw, (left + side // 2, top + headers - TEXT_GAP - words.height), anchor="m")
    y = top + headers
    for index, row in enumerate(rows):
        row.draw(sheet, draw, lefts, y)
        if beside:
            drop = max(0, row.tallest - beside[index].height) // 2
            beside[index].draw(draw, (MARGIN, y + drop))
        y += heights[index] + GAP
    return sheet


def _header(text: str, width: int) -> Words:
    return wrap(text, HEADER, width, max_lines=_MAX_HEADER_LINES)


@dataclass(frozen=True)
class _Row:
    """A row of pictures with their captions below them."""

    pictures: Sequence[Image.Image]
    captions: Sequence[_Caption]
    side: int

    @classmethod
    def of(cls, cells: Sequence[Cell], side: int) -> _Row:
        pictures = [fit(cell.image, side) for cell in cells]
        return cls(pictures, [_Caption.of(cell, side) for cell in cells], side)

    @property
    def tallest(self) -> int:
        return max(picture.height for picture in self.pictures)

    @property
    def height(self) -> int:
        return self.tallest + max(caption.height for caption in self.captions)

    def draw(
        self, sheet: Image.Image, draw: ImageDraw.ImageDraw, lefts: Sequence[int], y: int
    ) -> None:
        for left, picture, caption in zip(lefts, self.pictures, self.captions, strict=False):
            paste_framed(sheet, picture, (left + (self.side - picture.width) // 2, y))
            caption.draw(draw, (left, y + self.tallest))


@dataclass(frozen=True)
class _Heading:
    """What stands above the rows: a picture, and at its right the title and the subtitle."""

    lead: Image.Image | None
    caption: _Caption | None
    title: Words
    subtitle: Words

    @classmethod
    def of(cls, title: str, subtitle: str, lead: Cell | None, wide: int, side: int) -> _Heading:
        """For a sheet of `wide` pixels between its margins, but at least a picture's width of words."""
        picture = fit(lead.image, side) if lead else None
        beside = max(side, wide - picture.width - GAP) if picture else wide
        return cls(
            picture,
            _Caption.of(lead, side) if lead else None,
            wrap(title, TITLE, beside, max_lines=_MAX_TITLE_LINES),
            wrap(subtitle, HEADER, beside, max_lines=_MAX_HEADER_LINES),
        )

    @property
    def width(self) -> int:
        words = max(self.title.width, self.subtitle.width)
        return words + (self.lead.width + GAP if self.lead else 0)

    @property
    def height(self) -> int:
        words = self.title.height + self.subtitle.height
        picture = self.lead.height + self.caption.height if self.lead and self.caption else 0
        return max(words, picture) + GAP if words or picture else 0

    def draw(self, sheet: Image.Image, draw: ImageDraw.ImageDraw) -> None:
        left = MARGIN
        if self.lead and self.caption:
            paste_framed(sheet, self.lead, (left, MARGIN))
            self.caption.draw(draw, (left, MARGIN + self.lead.height))
            left += self.lead.width + GAP
        self.title.draw(draw, (left, MARGIN - 4))
        self.subtitle.draw(draw, (left, MARGIN + self.title.height), GREY)


def _in_rows(
    cells: Sequence[Cell],
    columns: int,
    column_headers: Sequence[str],
    row_headers: Sequence[str],
) -> list[Sequence[Cell]]:
    """The cells of each row, checked against the headers."""
    if columns < 1:
        raise ValueError("a contact sheet needs at least one cell and one column")
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    if column_headers and len(column_headers) != columns:
        raise ValueError(f"{len(column_headers)} column headers for {columns} columns")
    if row_headers and len(row_headers) != len(rows):
        raise ValueError(f"{len(row_headers)} row headers for {len(rows)} rows")
    return rows


def fit(image: Image.Image, side: int) -> Image.Image:
    """`image` with its longer side at most `side`: shrunk smoothly, or enlarged by whole factors.

    Enlarged pixels stay square, so that what a model made is seen as it is.
    """
    image = image.convert("RGB")
    factor = side // max(image.size)
    if factor >= 1:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    ratio = side / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    return image.resize(size, Image.Resampling.LANCZOS)


def paste_framed(sheet: Image.Image, picture: Image.Image, at: tuple[int, int]) -> None:
    """Paste a picture with a hairline around it, which a white one needs."""
    x, y = at
    sheet.paste(picture, at)
    frame = (x - 1, y - 1, x + picture.width, y + picture.height)
    ImageDraw.Draw(sheet).rectangle(frame, outline=FRAME)


@dataclass(frozen=True)
class _Caption:
    """A cell's words, broken into lines."""

    caption: Words
    detail: Words

    @classmethod
    def of(cls, cell: Cell, width: int) -> _Caption:
        return cls(
            wrap(cell.caption, CAPTION, width, max_lines=_MAX_CAPTION_LINES),
            wrap(cell.detail, DETAIL, width, max_lines=_MAX_DETAIL_LINES),
        )

    @property
    def height(self) -> int:
        words = self.caption.height + self.detail.height
        return TEXT_GAP + words if words else 0

    def draw(self, draw: ImageDraw.ImageDraw, at: tuple[int, int]) -> None:
        x, y = at
        self.caption.draw(draw, (x, y + TEXT_GAP), INK)
        self.detail.draw(draw, (x, y + TEXT_GAP + self.caption.height), GREY)
