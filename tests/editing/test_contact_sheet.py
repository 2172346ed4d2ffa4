"""A sheet of edits says of each picture what made it, and a sweep puts scales where they belong."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from overpaint.contact_sheets import Cell
from overpaint.editing import Edit, contact_sheet
from overpaint.editing.contact_sheet import cell_of, edits_sheet, sweep_sheet

PICTURE = Image.new("RGB", (64, 64), "red")


class Sheets:
    """Stands in for the drawing and remembers what was to be drawn."""

    def __call__(self, cells: list[Cell], columns: int, **options: Any) -> Image.Image:
        self.columns, self.options = columns, options
        self.cells = [cell.caption or cell.image.info["name"] for cell in cells]
        return PICTURE


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Sheets:
    sheets = Sheets()
    monkeypatch.setattr(contact_sheet, "contact_sheet", sheets)
    return sheets


def edit(instruction: str, seed: int, text: float = 7.5, image: float = 1.5) -> Edit:
    picture = PICTURE.copy()
    picture.info["name"] = f"{text}/{image}"
    return Edit(picture, instruction, seed, text, image)


def test_a_caption_tells_how_to_make_the_picture_again() -> None:
    cell = cell_of(edit("make it dark", 3, 7.5, 1.0))
    assert (cell.caption, cell.detail) == ("make it dark", "seed 3 · text 7.5 · image 1")


def test_several_instructions_and_seeds_make_a_row_a_seed(drawn: Sheets) -> None:
    edits = [edit(text, seed) for text in ("a", "b", "c") for seed in (0, 1)]
    edits_sheet(edits, original=PICTURE)
    assert drawn.columns == 4
    assert drawn.cells == ["original", "a", "b", "c"] * 2


def test_one_instruction_with_many_seeds_runs_on(drawn: Sheets) -> None:
    edits_sheet([edit("a", seed) for seed in range(9)])
    assert (drawn.columns, drawn.cells) == (5, ["a"] * 9)


def test_one_seed_with_many_instructions_runs_on(drawn: Sheets) -> None:
    edits_sheet([edit(text, 0) for text in "abcdefg"], original=PICTURE)
    assert (drawn.columns, drawn.cells) == (5, ["original", *"abcdefg"])


def test_a_sweep_has_text_scales_across_and_image_scales_down(drawn: Sheets) -> None:
    sweep_sheet([edit("a", 3, text, image) for image in (1.0, 1.5) for text in (3, 5, 7.5)])
    assert drawn.columns == 3
    assert drawn.cells == ["3/1.0", "5/1.0", "7.5/1.0", "3/1.5", "5/1.5", "7.5/1.5"]
    assert drawn.options["column_headers"] == ["text 3", "text 5", "text 7.5"]
    assert drawn.options["row_headers"] == ["image 1", "image 1.5"]
    assert drawn.options["title"] == "a (seed 3)"


def test_sheets_can_be_drawn() -> None:
    edits = [edit("make it dark", seed) for seed in (0, 1)]
    assert edits_sheet(edits, original=PICTURE).width > 3 * 256
    assert sweep_sheet(edits[:1]).mode == "RGB"
