"""A sheet of edits says of each picture what made it, and a sweep puts scales where they belong."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from overpaint.contact_sheets import Cell
from overpaint.editing import Edit, contact_sheet
from overpaint.editing.contact_sheet import edits_sheet, sweep_sheet

PICTURE = Image.new("RGB", (64, 64), "red")


class Sheets:
    """Stands in for the drawing and remembers what was to be drawn; a no-break space is a `_`."""

    def __call__(self, cells: list[Cell], columns: int, **options: Any) -> Image.Image:
        self.columns, self.options = columns, options
        self.cells = [cell.caption or cell.image.info.get("name") for cell in cells]
        self.details = [cell.detail.replace("\N{NO-BREAK SPACE}", "_") for cell in cells]
        return PICTURE

    def said(self, name: str) -> Any:
        found = self.options[name]
        texts = [found] if isinstance(found, str) else found
        plain = [text.replace("\N{NO-BREAK SPACE}", "_") for text in texts]
        return plain[0] if isinstance(found, str) else plain


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Sheets:
    sheets = Sheets()
    monkeypatch.setattr(contact_sheet, "contact_sheet", sheets)
    return sheets


def edit(instruction: str, seed: int, text: float = 7.5, image: float = 1.5) -> Edit:
    picture = PICTURE.copy()
    picture.info["name"] = f"{text}/{image}"
    return Edit(picture, instruction, seed, text, image)


def test_options_stand_as_they_are_typed_shared_ones_once(drawn: Sheets) -> None:
    edits = [edit("make it dark", seed, 7.5, 1.0) for seed in (3, 4)]
    edits_sheet(edits, original=PICTURE, options={"--steps": 20})
    assert drawn.said("title") == "make it dark"
    assert drawn.said("subtitle") == "--steps_20 --guidance-scale_7.5 --image-guidance-scale_1"
    assert drawn.details == ["original", "--seed_3", "--seed_4"]


def test_each_result_says_every_option_that_is_not_said_of_all(drawn: Sheets) -> None:
    edits = [edit("a", 3, 2.0, 1.0), edit("b", 4, 5.0, 1.5)]
    edits_sheet(edits)
    assert drawn.cells == ["a", "b"]
    assert drawn.details == [
        "--seed_3 --guidance-scale_2 --image-guidance-scale_1",
        "--seed_4 --guidance-scale_5 --image-guidance-scale_1.5",
    ]
    assert drawn.said("subtitle") == ""


def test_several_instructions_and_seeds_make_a_row_a_seed(drawn: Sheets) -> None:
    edits = [edit(text, seed, seed) for text in ("a", "b", "c") for seed in (1, 2)]
    edits_sheet(edits, original=PICTURE)
    assert drawn.columns == 3
    assert drawn.cells == ["1/1.5"] * 3 + ["2/1.5"] * 3
    assert drawn.said("column_headers") == ["a", "b", "c"]
    assert drawn.said("row_headers") == ["--seed_1", "--seed_2"]
    assert drawn.details[0] == "--guidance-scale_1"
    assert drawn.options["lead"].image is PICTURE


def test_one_instruction_with_many_seeds_runs_on(drawn: Sheets) -> None:
    edits_sheet([edit("a", seed) for seed in range(9)])
    assert (drawn.columns, len(drawn.cells)) == (5, 9)


def test_one_seed_with_many_instructions_runs_on(drawn: Sheets) -> None:
    edits_sheet([edit(text, 0) for text in "abcdefg"], original=PICTURE)
    assert drawn.columns == 5
    assert drawn.cells[1:] == list("abcdefg")
    assert drawn.details == ["original"] + [""] * 7


def test_a_sweep_has_text_scales_across_and_image_scales_down(drawn: Sheets) -> None:
    edits = [edit("a", 3, text, image) for image in (1.0, 1.5) for text in (3, 5, 7.5)]
    sweep_sheet(edits, original=PICTURE, options={"--model": "nano"})
    assert drawn.columns == 3
    assert drawn.cells == ["3/1.0", "5/1.0", "7.5/1.0", "3/1.5", "5/1.5", "7.5/1.5"]
    assert drawn.said("column_headers") == [f"--guidance-scale_{s}" for s in ("3", "5", "7.5")]
    assert drawn.said("row_headers") == [f"--image-guidance-scale {s}" for s in ("1", "1.5")]
    assert (drawn.said("title"), drawn.said("subtitle")) == ("a", "--model_nano --seed_3")
    assert drawn.options["lead"].image is PICTURE


def test_sheets_can_be_drawn() -> None:
    edits = [edit("make it dark", seed) for seed in (0, 1)]
    assert edits_sheet(edits, original=PICTURE).width > 3 * 256
    assert sweep_sheet(edits[:1]).mode == "RGB"
