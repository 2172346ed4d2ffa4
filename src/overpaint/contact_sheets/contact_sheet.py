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
    line_height,
    set_line,
    wrap,
)

PAPER: Colour = (255, 255, 255)
FRAME: Colour = (208, 215, 222)

MARGIN, GAP, TEXT_GAP = 28, 20, 8
TITLE, HEADER, CAPTION, DETAIL = 24, 17, 17, 14
_MAX_TITLE_LINES, _MAX_CAPTION_LINES, _MAX_DETAIL_LINES = 2, 4, 2


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
    column_headers: Sequence[str] = (),
    row_headers: Sequence[str] = (),
    side: int = 256,
) -> Image.Image:
    """Lay out `cells` row by row.

    Args:
        cells: at least one; the last row may be shorter than the others.
        columns: pictures in a row; at most as many columns are drawn as there are cells.
        title: a line above everything.
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
    rows = _in_rows(cells, columns, column_headers, row_headers)
    pictures = [[fit(cell.image, side) for cell in row] for row in rows]
    captions = [[_Caption.of(cell, side) for cell in row] for row in rows]
    heights = [
        max(p.height for p in row) + max(c.height for c in texts)
        for row, texts in zip(pictures, captions, strict=True)
    ]
    beside = [set_line(text, HEADER) for text in row_headers]
    gutter = max((words.width for words in beside), default=0)
    gutter += GAP if gutter else 0
    width = 2 * MARGIN + gutter + columns * side + (columns - 1) * GAP
    heading = wrap(title, TITLE, width - 2 * MARGIN, max_lines=_MAX_TITLE_LINES)
    top = MARGIN + (heading.height + GAP if heading.lines else 0)
    header = line_height(HEADER) + TEXT_GAP if column_headers else 0
    height = top + header + sum(heights) + (len(rows) - 1) * GAP + MARGIN

    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    heading.draw(draw, (MARGIN, MARGIN - 4))
    lefts = [MARGIN + gutter + i * (side + GAP) for i in range(columns)]
    for left, text in zip(lefts, column_headers, strict=False):
        set_line(text, HEADER).draw(draw, (left + side // 2, top), GREY, anchor="m")
    y = top + header
    for index, row in enumerate(pictures):
        tallest = max(picture.height for picture in row)
        if beside:
            beside[index].draw(draw, (MARGIN, y + (tallest - beside[index].height) // 2), GREY)
        for left, picture, caption in zip(lefts, row, captions[index], strict=False):
            paste_framed(sheet, picture, (left + (side - picture.width) // 2, y))
            caption.draw(draw, (left, y + tallest))
        y += heights[index] + GAP
    return sheet


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
