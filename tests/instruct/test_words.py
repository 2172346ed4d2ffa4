"""What counts as the same text, as a change, and as a change that was asked for."""

from __future__ import annotations

import pytest

from overpaint.instruct.words import is_consistent, is_no_op, is_reflected, near_key, normalise


def test_normalise_gives_one_line_of_composed_unicode() -> None:
    assert normalise("  a\tcafe\u0301 \n\n by\u200b the sea\x00 ") == "a café by the sea"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A dog.", "a  dog"),
        ("the dogs, on a box", "The dog on boxes"),
        ("a berry", "berries"),
        ("Van Gogh's chair", "van gogh chair"),
    ],
)
def test_near_duplicates_have_one_key(one: str, other: str) -> None:
    assert near_key(one) == near_key(other)


def test_order_and_words_make_a_difference() -> None:
    assert near_key("a dog beside a cat") != near_key("a cat beside a dog")
    assert near_key("a red dog") != near_key("a dog")


def test_articles_case_and_punctuation_are_no_change() -> None:
    assert is_no_op("A dog on the beach", "a dog, on a beach.")
    assert not is_no_op("a dog on the beach", "two dogs on the beach")


@pytest.mark.parametrize(
    ("edit", "edited", "consistent", "reflected"),
    [
        ("make the dog a cat", "a cat on the beach", True, True),
        ("remove the dog", "the beach", True, True),
        ("add a hat", "a dog with a hat on the beach", True, True),
        ("add hats", "a dog with a hat on the beach", False, True),
        ("make it vintage", "an old photo of a dog on the beach", False, False),
        ("make it a", "a a dog on the beach", False, False),
    ],
)
def test_a_change_is_consistent_when_the_instruction_names_it(
    edit: str, edited: str, consistent: bool, reflected: bool
) -> None:
    assert is_consistent("a dog on the beach", edit, edited) is consistent
    assert is_reflected("a dog on the beach", edit, edited) is reflected
