"""Every picture is on the sheet, unchanged but for its scale, and nothing overlaps."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from overpaint.contact_sheets import BeforeAfter, Cell, before_after, contact_sheet
from overpaint.contact_sheets.contact_sheet import fit

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)]


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, colour)


def area(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of the one rectangle of a colour."""
    ys, xs = np.nonzero((np.asarray(sheet) == colour).all(axis=2))
    left, top, width, height = xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1
    assert len(xs) == width * height, "something is drawn over the picture"
    return int(left), int(top), int(width), int(height)


def test_pictures_stand_in_rows_and_columns() -> None:
    sheet = contact_sheet([Cell(plain(c)) for c in COLOURS], 2, side=128)
    places = [area(sheet, colour) for colour in COLOURS]
    assert {place[2:] for place in places} == {(128, 128)}
    lefts, tops = [p[0] for p in places], [p[1] for p in places]
    assert lefts == [lefts[0], lefts[1]] * 2 + [lefts[0]]
    assert tops == [tops[0], tops[0], tops[2], tops[2], tops[4]]
    assert lefts[1] > lefts[0] + 128


def test_small_pictures_grow_by_whole_factors_with_square_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    shown = np.asarray(fit(Image.fromarray(noise), 250))
    np.testing.assert_array_equal(shown, noise.repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize("size", [(512, 512), (1000, 20), (20, 1000), (1, 3000), (257, 256)])
def test_large_pictures_shrink_and_keep_their_shape(size: tuple[int, int]) -> None:
    width, height = fit(plain(COLOURS[0], size), 256).size
    assert max(width, height) == 256
    assert width / height == pytest.approx(size[0] / size[1], rel=0.1) or min(width, height) == 1


def test_pictures_of_all_sizes_do_not_touch() -> None:
    sizes = [(64, 64), (512, 100), (100, 512), (10, 10), (300, 200)]
    cells = [
        Cell(plain(colour, size), "word " * 500, "detail " * 500)
        for colour, size in zip(COLOURS, sizes, strict=True)
    ]
    sheet = contact_sheet(cells, 3, title="title " * 100)
    for colour, size in zip(COLOURS, sizes, strict=True):
        assert area(sheet, colour)[2:] == fit(plain(colour, size), 256).size


def test_captions_and_headers_are_drawn() -> None:
    cells = [Cell(plain(colour)) for colour in COLOURS[:4]]
    bare = contact_sheet(cells, 2)
    headed = contact_sheet(
        cells, 2, column_headers=["text 1", "text 2"], row_headers=["image 1", "image 2"]
    )
    captioned = contact_sheet([Cell(c.image, "make it dark", "seed 0") for c in cells], 2)
    assert headed.width > bare.width
    assert headed.height > bare.height
    assert captioned.width == bare.width
    assert captioned.height > bare.height
    left, top, _, _ = area(headed, COLOURS[0])
    assert np.asarray(headed)[:top, left:].min() < 150, "no column header"
    assert np.asarray(headed)[top:, : left - 2].min() < 150, "no row header"


def test_the_lead_stands_above_the_rows_with_the_title_beside_it() -> None:
    red, green, blue = COLOURS[:3]
    for rows in (1, 2):
        cells = [Cell(plain(c)) for c in (green, blue)]
        sheet = contact_sheet(
            cells, 2 // rows, title="word " * 60, subtitle="option " * 60, lead=Cell(plain(red)),
            row_headers=["x"] * rows,
        )  # fmt: skip
        lead, first = area(sheet, red), area(sheet, green)
        area(sheet, blue)
        assert lead[2:] == first[2:]
        assert lead[1] + lead[3] < first[1]
        beside = np.asarray(sheet)[: first[1], lead[0] + lead[2] + 2 :]
        assert beside.min() < 100, "no title"
        assert np.asarray(sheet)[:, -8:].min() == 255, "words run out of the sheet"


@pytest.mark.parametrize("size", [(64, 64), (300, 8)])
def test_long_row_headers_break_and_never_meet(size: tuple[int, int]) -> None:
    cells = [Cell(plain(c, size)) for c in COLOURS[:3]]
    short = contact_sheet(cells, 1, row_headers=["a"] * 3, side=300)
    sheet = contact_sheet(cells, 1, row_headers=["turn it into a house " * 9] * 3, side=300)
    assert sheet.width < short.width + 240
    left = area(sheet, COLOURS[0])[0]
    inked = (np.asarray(sheet)[:, : left - 4].min(axis=(1, 2)) < 200).astype(int)
    blank = np.diff(np.flatnonzero(inked))
    assert (blank > 10).sum() == 2, "headers of two rows run together"


def test_a_white_picture_can_be_told_from_the_paper() -> None:
    assert np.asarray(contact_sheet([Cell(plain((255, 255, 255)))], 1)).min() < 255


def test_headers_that_do_not_match_are_a_mistake() -> None:
    cells = [Cell(plain(colour)) for colour in COLOURS]
    with pytest.raises(ValueError, match="1 column headers for 2 columns"):
        contact_sheet(cells, 2, column_headers=["a"])
    with pytest.raises(ValueError, match="2 row headers for 3 rows"):
        contact_sheet(cells, 2, row_headers=["a", "b"])
    with pytest.raises(ValueError, match="at least one cell"):
        contact_sheet([], 2)


def test_a_row_is_no_wider_than_its_cells() -> None:
    assert contact_sheet([Cell(plain(COLOURS[0]))], 10).width < 400


def test_before_stands_left_of_after() -> None:
    red, green, blue = COLOURS[:3]
    strip = BeforeAfter(plain(red), "make it green", [plain(green), plain(blue)])
    sheet = before_after([strip], side=128)
    places = [area(sheet, colour) for colour in (red, green, blue)]
    assert [place[0] for place in places] == sorted(place[0] for place in places)
    assert len({place[1] for place in places}) == 1
    left, right = places[0][0] + 130, places[1][0] - 2
    assert np.asarray(sheet)[:, left:right].min() < 100, "no instruction between them"


def test_strips_fill_columns_first() -> None:
    white = plain((255, 255, 255))
    strips = [BeforeAfter(plain(colour), "x " * 999, [white]) for colour in COLOURS]
    sheet = before_after(strips, columns=2)
    places = [area(sheet, colour) for colour in COLOURS]
    assert places[0][1] == places[1][1] < places[2][1] == places[3][1] < places[4][1]
    assert before_after(strips[:1], columns=2).width < sheet.width
    with pytest.raises(ValueError, match="at least one"):
        before_after([])
