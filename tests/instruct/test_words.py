"""What counts as the same text, as a change, and as a change that was asked for."""

from __future__ import annotations

import pytest

from overpaint.instruct.filters import clean_instruction, clean_triplet, fault_of_triplet
from overpaint.instruct.words import is_consistent, is_no_op, is_reflected, near_key, normalise
from overpaint.rows import Triplet


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


# caption, instruction, caption after it: in scripts without spaces, and with many endings
EDITS = [
    ("ソファの上の猫", "猫を犬に変える", "ソファの上の犬"),
    ("ソファのうえのねこ", "ねこをいぬにかえる", "ソファのうえのいぬ"),
    ("赤いリンゴ", "リンゴをバナナにして", "赤いバナナ"),
    ("一只猫坐在沙发上", "把猫换成狗。", "一只狗坐在沙发上"),
    ("แมวนั่งบนโซฟา", "เปลี่ยนแมวเป็นสุนัข", "สุนัขนั่งบนโซฟา"),
    ("소파 위의 고양이", "고양이를 개로 바꿔줘", "소파 위의 개"),
    ("kissa sohvalla", "Muuta kissa koiraksi", "koira sohvalla"),
    ("nainen puistossa", "Lisää naiselle hattu", "nainen, jolla on hattu päässä, puistossa"),
    ("koltukta bir kedi", "Kediyi köpeğe dönüştür", "koltukta bir köpek"),
    ("кошка на диване", "Замени кошку на собаку", "собака на диване"),
    ("женщина в парке", "Добавь женщине шляпу", "женщина в шляпе в парке"),
    ("kot na kanapie", "zamień kota na psa", "pies na kanapie"),
    ("γάτα στον καναπέ", "άλλαξε τη γάτα σε σκύλο", "σκύλος στον καναπέ"),
    ("قطة على أريكة", "حوّل القطة إلى كلب", "كلب على أريكة"),
    ("חתול על ספה", "הפוך את החתול לכלב", "כלב על ספה"),
    ("گربه روی مبل", "گربه را به سگ تبدیل کن", "سگ روی مبل"),
    ("सोफे पर एक बिल्ली", "बिल्ली को कुत्ते में बदलो", "सोफे पर एक कुत्ता"),
    ("một con mèo trên ghế", "đổi con mèo thành con chó", "một con chó trên ghế"),
    ("Eine Katze auf dem Sofa", "Mach aus der Katze einen Hund", "Ein Hund auf dem Sofa"),
    ("un chat sur un canapé", "transforme le chat en chien", "un chien sur un canapé"),
]
OTHERS = [
    ("一只猫坐在沙发上", "加一顶帽子", "一只猫坐在草地上"),
    ("ソファの上の猫", "帽子をかぶせる", "ベッドの上の猫"),
    ("แมวนั่งบนโซฟา", "เพิ่มหมวก", "แมวนั่งบนเตียง"),
    ("소파 위의 고양이", "모자를 씌워줘", "침대 위의 고양이"),
    ("kissa sohvalla", "Lisää hattu", "koira sohvalla"),
    ("koltukta bir kedi", "şapka ekle", "yatakta bir kedi"),
    ("кошка на диване", "Добавь шляпу", "собака на диване"),
]


@pytest.mark.parametrize("edit", EDITS, ids=range(len(EDITS)))
def test_an_edit_in_any_language_is_kept(edit: tuple[str, str, str]) -> None:
    caption, instruction, edited = edit
    triplet = clean_triplet(
        Triplet(original_prompt=caption, edit_prompt=instruction, edited_prompt=edited)
    )
    assert fault_of_triplet(triplet) is None
    assert near_key(caption) != near_key(edited)
    assert not is_no_op(caption, edited)


@pytest.mark.parametrize("edit", OTHERS, ids=range(len(OTHERS)))
def test_an_edit_that_was_not_asked_for_is_seen_in_any_language(
    edit: tuple[str, str, str],
) -> None:
    assert not is_reflected(*edit)


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        ("turn the car into a bus", "a card on a table", "a cart on a table"),
        ("make it a painting of rain", "a train", "a trainer"),
    ],
)
def test_english_words_are_not_alike_by_their_letters(edit: str, before: str, after: str) -> None:
    assert not is_reflected(before, edit, after)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("می‌خواهم", "می‌خواهم"), ("👩‍🚀 in space", "👩‍🚀 in space"), ("a\u200db", "ab"),
        ("\u202eevil\u202c\u2066x", "evilx"),
    ],
)  # fmt: skip
def test_joiners_stay_where_they_spell(text: str, cleaned: str) -> None:
    assert normalise(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("「猫を犬に変える。」", "猫を犬に変える"), ("“add a hat.”", "add a hat"),
        ("«добавь шляпу»", "добавь шляпу"), ("बिल्ली हटाओ।", "बिल्ली हटाओ"), ("a. b.", "a. b."),
    ],
)  # fmt: skip
def test_quotes_and_full_stops_of_any_language_go(text: str, cleaned: str) -> None:
    assert clean_instruction(text) == cleaned
