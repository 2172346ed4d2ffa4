"""Every row that is not kept has its reason, and good rows are kept."""

from __future__ import annotations

import pytest

from overpaint.instruct import filters
from overpaint.instruct.filters import (
    clean_instruction,
    fault_of_caption,
    fault_of_triplet,
    keep_captions,
    keep_triplets,
)
from overpaint.rows import Triplet
from overpaint.tally import Tally

CAPTION = "a dog on the beach"


def triplet(edit: str, edited: str, original: str = CAPTION) -> Triplet:
    return Triplet(original_prompt=original, edit_prompt=edit, edited_prompt=edited)


@pytest.mark.parametrize(
    ("edit", "edited", "fault"),
    [
        ("make the dog a cat", "a cat on the beach", None),
        ("add a caption to it", "a dog on the beach with a caption", None),
        ("", "a cat on the beach", filters.EMPTY),
        ("make it a cat", "", filters.EMPTY),
        ("make it a cat", "a cat" + " and a cat" * 99, filters.OVER_LONG),
        ("make it " + "very " * 60 + "old", "an old dog", filters.OVER_LONG),
        ("!!!", "a cat on the beach", filters.NO_WORDS),
        ("make it a cat ## add", "a cat on the beach", filters.DELIMITER),
        ("make the dog a cat", "A dog, on a beach.", filters.NO_OP),
        ("make it night", "a cat on the beach", filters.NOT_REFLECTED),
        ("Sure! Here is an edit: make it a cat", "a cat on the beach", filters.META_TALK),
        ("make it a cat", "I'm sorry, I cannot make a cat", filters.META_TALK),
        ("Edited caption: a cat", "a cat on the beach", filters.META_TALK),
        ("rewrite the caption with a cat", "a cat on the beach", filters.META_TALK),
    ],
)
def test_the_fault_of_a_triplet(edit: str, edited: str, fault: str | None) -> None:
    assert fault_of_triplet(triplet(edit, edited)) == fault


def test_reflection_need_not_be_asked_for() -> None:
    row = triplet("make it vintage", "an old photo of a dog on the beach")
    assert fault_of_triplet(row) == filters.NOT_REFLECTED
    assert fault_of_triplet(row, need_reflection=False) is None


@pytest.mark.parametrize(
    ("caption", "fault"),
    [
        (CAPTION, None),
        ("스톡 콘텐츠", None),
        ("", filters.EMPTY),
        ("—", filters.NO_WORDS),
        ("x" * 2_000_000, filters.OVER_LONG),
        ("a dog\n".strip() + " %% a cat", filters.DELIMITER),
    ],
)
def test_the_fault_of_a_caption(caption: str, fault: str | None) -> None:
    assert fault_of_caption(caption) == fault


def test_an_instruction_loses_quotes_and_its_full_stop() -> None:
    assert clean_instruction(' "make it\n a cat." ') == "make it a cat"
    assert clean_instruction("Make it St. Mark's sq.") == "Make it St. Mark's sq."


def test_captions_are_kept_once_and_the_others_counted() -> None:
    tally = Tally()
    captions = [" a  dog", "a dog", "The dogs.", "a cat", "", "?"]
    assert list(keep_captions(captions, tally)) == ["a dog", "a cat"]
    assert (tally.seen, tally.kept) == (6, 2)
    assert tally.rejected == {
        filters.DUPLICATE: 1,
        filters.NEAR_DUPLICATE: 1,
        filters.EMPTY: 1,
        filters.NO_WORDS: 1,
    }


def test_triplets_are_kept_once_and_keep_what_stands_beside_the_texts() -> None:
    rows = [
        triplet("make the dog a cat", "a cat on the beach"),
        triplet("make the dog a cat", "a cat at the sea"),
        triplet("Make the dogs a cat.", "a cat on the beach"),
        triplet("make the dog a fox", "a fox on the beach"),
    ]
    rows[3] = Triplet(**{**rows[3].to_row(), "kind": "object"})
    tally = Tally()
    kept = list(keep_triplets(rows, tally))
    assert [row.edit_prompt for row in kept] == ["make the dog a cat", "make the dog a fox"]
    assert kept[1].kind == "object"
    assert tally.rejected == {filters.DUPLICATE: 1, filters.NEAR_DUPLICATE: 1}


def test_a_tally_comes_back_from_json_and_adds_up() -> None:
    tally = Tally(seen=3)
    for example in "abcde":
        tally.reject("why", example * 500)
    other = Tally.from_dict(tally.to_dict())
    other.add(tally)
    assert (other.seen, other.rejected["why"], len(other.examples["why"])) == (6, 10, 3)
    assert len(other.examples["why"][0]) < 200
