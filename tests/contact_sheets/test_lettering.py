"""Words stay within their width, whatever somebody typed."""

from __future__ import annotations

import unicodedata
from typing import Literal

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


OWN = [
    "seed 3 · text 7.5 · “make it dark”… → × ≥ ✓",
    "été Überführe die Façade Łódź İstanbul Dvořák tiếng Việt",
    "γάτα σε σκύλο, ἀρχή",
    "кошка в собаку, ґанок, Қазақ",
    "կատու, კატა",
]


@pytest.mark.parametrize("text", OWN)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_package_s_font_has_most_alphabets(
    monkeypatch: pytest.MonkeyPatch, text: str, form: Literal["NFC", "NFD"]
) -> None:
    """So that a sheet looks the same everywhere, whatever way accents are written in."""
    monkeypatch.setattr(lettering, "_system_font", lambda *_: pytest.fail("looked for a font"))
    words = set_line(unicodedata.normalize(form, text), 17)
    assert words.lines == (text,)
    assert words.font is font_for("a", 17)


def test_letters_that_no_font_has_are_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_SYSTEM_FONTS", ())
    assert wrap("猫 cat", 17, 200, max_lines=1).lines == ("猫 cat",)


def test_the_system_s_fonts_are_asked_for_other_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(lettering, "_system_font", lambda name, _: asked.append(name))
    font_for("猫", 17)
    assert set(asked) == set(lettering._SYSTEM_FONTS)


def test_a_no_break_space_keeps_two_words_on_a_line() -> None:
    option = "--guidance-scale\N{NO-BREAK SPACE}7.5"
    width = set_line(option, 17).width + 30
    lines = wrap(f"--seed\N{NO-BREAK SPACE}3 {option} and more", 17, width, max_lines=9).lines
    assert option in lines[1]


def test_words_are_drawn_within_their_line() -> None:
    sheet = Image.new("RGB", (400, 60))
    set_line("(Éy|gj)", 20).draw(ImageDraw.Draw(sheet), (10, 20), (255, 255, 255))
    left, top, _, bottom = sheet.convert("L").getbbox() or (0, 0, 0, 0)
    assert left >= 8
    assert top >= 18
    assert bottom <= 20 + line_height(20) + 1
