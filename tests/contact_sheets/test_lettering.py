"""Words stay within their width, whatever somebody typed."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from overpaint.contact_sheets import lettering
from overpaint.contact_sheets.lettering import font_for, line_height, set_line, wrap


@pytest.mark.parametrize(
    "text",
    [
        "turn the cat into a dog",
        "word " * 10_000,
        "x" * 100_000,
        "Überführe die Façade — été",
        "кошка в собаку",
        "猫を犬に変える" * 20,
        "🐱 to 🐶",
        "tabs\tand\nnew lines\r\nand \x00 control \x1b[31m characters",
    ],
)
def test_lines_fit_and_are_few(text: str) -> None:
    words = wrap(text, 17, 200, max_lines=4)
    assert 1 <= len(words.lines) <= 4
    assert 0 < words.width <= 200
    assert words.height == len(words.lines) * line_height(17)
    assert all(line.isprintable() for line in words.lines)


def test_text_that_fits_is_kept_word_for_word() -> None:
    text = "swap the bicycle for a cat and make the background blue"
    lines = wrap(text, 17, 200, max_lines=4).lines
    assert " ".join(lines) == text
    assert len(lines) > 1


def test_text_that_does_not_fit_says_so() -> None:
    assert wrap("word " * 100, 17, 200, max_lines=2).lines[-1].endswith("…")


def test_no_text_is_no_lines() -> None:
    assert wrap(" \n ", 17, 200, max_lines=2).lines == ()
    assert set_line("", 17).width == set_line("", 17).height == 0


def test_accents_are_dropped_where_no_font_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_SYSTEM_FONTS", ())
    assert wrap("été", 17, 200, max_lines=1).lines == ("ete",)
    assert wrap("猫", 17, 200, max_lines=1).lines == ("猫",)  # drawn as a box


def test_plain_latin_needs_no_font_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a sheet looks the same everywhere."""
    monkeypatch.setattr(lettering, "_system_font", lambda *_: pytest.fail("looked for a font"))
    font_for("seed 3 · text 7.5 · “make it dark”…", 17)


def test_words_are_drawn_within_their_line() -> None:
    sheet = Image.new("RGB", (400, 60))
    set_line("(Éy|gj)", 20).draw(ImageDraw.Draw(sheet), (10, 20), (255, 255, 255))
    left, top, _, bottom = sheet.convert("L").getbbox() or (0, 0, 0, 0)
    assert left >= 8
    assert top >= 18
    assert bottom <= 20 + line_height(20) + 1
