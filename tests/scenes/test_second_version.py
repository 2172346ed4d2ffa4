"""Version 2 of the world: on the latent grid, in many words; version 1 keeps its bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from overpaint.scenes.catalogue import catalogue
from overpaint.scenes.edits import KINDS, Edit, kinds_of
from overpaint.scenes.examples import (
    SPLITS,
    Example,
    Split,
    candidates,
    sample_caption,
    sample_example,
)
from overpaint.scenes.layout import CELL, OFF_GRID, Item, Scene, sample_scene
from overpaint.scenes.phrasings import phrasings, varied
from overpaint.scenes.references import colours_of, refer
from overpaint.scenes.rendering import ink, render, sprite
from overpaint.scenes.wording import as_typed

SMALL = catalogue("small")
THINGS = {thing.name: thing for thing in SMALL}
TWO = kinds_of(2)


def example(seed: int, split: Split = "train", *kinds: str) -> Example:
    return sample_example(seed, split, size=64, kinds=kinds or None, version=2)


def scenes(count: int) -> Iterator[Scene]:
    return (sample_scene(Random(seed), SMALL, version=2) for seed in range(count))


def on_grid(scene: Scene) -> bool:
    return all(
        (edge / CELL).is_integer()
        for item in scene.items
        for edge in (item.side, *(middle - item.side / 2 for middle in item.centre))
    )


def item(name: str, place: str, **fields: object) -> Item:
    return Item(THINGS[name], place, size=6 * CELL, fitted=True, **fields)  # type: ignore[arg-type]


def test_version_one_keeps_its_bytes() -> None:
    digest = hashlib.sha256()
    for split in SPLITS:
        for seed in range(12):
            old = sample_example(seed, split)
            digest.update(old.original.tobytes() + b"".join(t.tobytes() for t in old.targets))
            digest.update(f"{old.edit_prompt}{old.original_prompt}{old.edited_prompt}".encode())
    for seed in range(12):
        digest.update(sample_caption(seed)[1].encode())
    assert digest.hexdigest()[:16] == "00cef8986ec9581d"


def test_objects_stand_on_the_grid_in_three_sizes_but_for_a_share() -> None:
    drawn = list(scenes(400))
    share = sum(not on_grid(scene) for scene in drawn) / len(drawn)
    assert 0.5 * OFF_GRID < share < 1.5 * OFF_GRID
    sides = {item.side for scene in drawn if on_grid(scene) for item in scene.items}
    assert sides == {4 * CELL, 6 * CELL, 8 * CELL}


def test_objects_stay_within_their_quarter_whatever_edits_do() -> None:
    for seed in range(150):
        made = example(seed)
        for scene in (made.scene, *made.edit.answers):
            for thing in scene.items:
                for middle in thing.centre:
                    corner = 0.5 * (middle > 0.5)
                    assert corner - 1e-9 <= middle - thing.side / 2
                    assert middle + thing.side / 2 <= corner + 0.5 + 1e-9


@pytest.mark.slow
def test_ink_fills_the_square_of_every_drawing() -> None:
    for thing in catalogue("full"):
        seen = sprite(thing.file, 64, None, False, True)[..., 3] > 16
        spans = [np.ptp(np.flatnonzero(seen.any(axis=axis))) + 1 for axis in (0, 1)]
        assert max(spans) >= 63, thing.name
        left, top, side = ink(thing.file)
        assert side < 72 or left <= 0 or top <= 0


def test_a_whole_cell_further_is_the_same_drawing_moved() -> None:
    here, there = (
        render(Scene("blue", (item("dog", "top left", dx=dx),), version=2), 128)
        for dx in (-CELL, CELL)
    )
    assert (np.roll(here, 16, axis=1) == there).all()


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", TWO)
def test_same_seed_same_example_with_exact_answers(kind: str, split: Split) -> None:
    made, again = (example(3, split, kind) for _ in range(2))
    assert made == again
    assert made.kind == kind
    assert made.original.tobytes() == again.original.tobytes()
    assert (made.original.tobytes() in {t.tobytes() for t in made.targets}) == (kind == "keep")
    for target in made.targets:
        assert (target == made.original)[made.untouched].all()
    for text in (made.edit_prompt, made.original_prompt, made.edited_prompt):
        assert text == text.strip()
        assert not re.search(r"[{}]|  |the the|the a ", text), text


def test_to_keep_is_to_change_no_pixel() -> None:
    for seed in range(10):
        made = example(seed, "train", "keep")
        assert len(made.targets) == 1
        assert made.untouched.all()
        assert all(np.abs(w.astype(int) - made.original).mean() > 0.5 for w in candidates(made, 8))


def test_two_in_one_does_both() -> None:
    for seed in range(60):
        made = example(seed, "train", "two in one")
        first, second = made.edit.parts
        assert made.scene not in made.edit.answers
        assert len(made.edit.answers) == len(first.answers)
        for answer, alone in zip(made.edit.answers, first.answers, strict=True):
            assert answer != alone
            if second.kind in ("line drawing", "greyscale", "night"):
                assert (answer.look, answer.items) == (second.kind, alone.items)
            elif second.kind == "background":
                assert (answer.background, answer.items) == (second.colour, alone.items)
            else:  # it is of an object that the first leaves alone
                (other,) = (made.scene.items[n] for n in second.about) if second.about else (None,)
                assert other is None or other.thing not in (first.x, first.y)
                assert second.y not in {i.thing for i in made.scene.items}


def test_bigger_and_smaller_never_ask_for_what_is_already_so() -> None:
    for kind, end in (("enlarge", "big"), ("shrink", "tiny")):
        for seed in range(30):
            made = example(seed, "train", kind)
            (which,) = made.edit.about
            assert made.scene.items[which].scale != end
            assert made.edit.answers[0].items[which].scale == end


@pytest.mark.parametrize("kind", TWO)
def test_thirty_phrasings_a_kind_with_a_fifth_held_out(kind: str) -> None:
    seen, held_out = phrasings(kind, False, 2), phrasings(kind, True, 2)
    assert len({*seen, *held_out}) == len(seen) + len(held_out) >= 30
    assert len(held_out) * 5 >= len(seen) + len(held_out)
    for chosen in (False, True):
        assert any(phrasing.command for phrasing in varied(kind, chosen))


def test_version_two_has_two_kinds_more() -> None:
    assert kinds_of(1) == KINDS
    assert (*KINDS, "two in one", "keep") == TWO
    assert {example(seed).kind for seed in range(500)} == set(TWO)
    assert {sample_example(seed, size=16).kind for seed in range(300)} == set(KINDS)


def test_training_says_nothing_that_is_held_out() -> None:
    """The words of a held-out phrasing that no other of its kind has are never heard in training."""
    for kind in ("remove", "enlarge", "swap", "keep"):
        heard = " ".join(example(seed, "train", kind).edit_prompt.lower() for seed in range(40))
        ours = set(" ".join(phrasings(kind, False, 2)).split())
        fresh = {w for p in phrasings(kind, True, 2) for w in p.split()} - ours - {"{x}"}
        assert fresh
        assert not fresh & set(heard.split()), kind


REFERENCES = [
    # the scene; its first object is meant; what may be said of it, and what may not
    ([("cat", "top left", "red"), ("dog", "bottom right", None)], "red one", "green one"),
    ([("cat", "top left", "red"), ("dog", "bottom right", None)], "object on the left", "big one"),
    ([("cat", "top left", "red"), ("apple", "top right", None)], "red cat", "red one"),
    ([("cat", "top left", None), ("dog", "top right", None)], "left one", "top one"),
    ([("cat", "top left", None), ("dog", "bottom left", None)], "one at the top", "left one"),
    ([("apple", "top left", None), ("dog", "top right", None)], "red one", "right one"),
    ([("cat", "bottom right", None)], "thing in the bottom right", "one on the right"),
]


@pytest.mark.parametrize(("shown", "said", "never"), REFERENCES)
def test_a_reference_names_one_object_alone(
    shown: list[tuple[str, str, str | None]], said: str, never: str
) -> None:
    items = tuple(item(name, place, colour=colour) for name, place, colour in shown)
    scene = Scene("white", items, version=2)
    found = {refer(scene, 0, shown[0][0], Random(seed)) for seed in range(600)}
    assert said in found
    assert never not in found
    assert shown[0][0] in found


def test_colours_of_drawings_are_those_one_sees() -> None:
    for name, colour in (("apple", "red"), ("banana", "yellow"), ("frog", "green")):
        shares = colours_of(item(name, "top left"))
        assert max(shares, key=shares.__getitem__) == colour
    assert colours_of(item("apple", "top left", colour="blue")) == {"blue": 1.0}


def test_typing_habits_leave_most_texts_as_they_are_and_never_make_another_word() -> None:
    text = "turn the carrot into a boat"
    typed = [as_typed(text, Random(seed)) for seed in range(500)]
    assert 200 < typed.count(text) < 400
    assert "Turn the carrot into a boat." in typed
    assert "turn carrot into boat" in typed
    slips = {t for t in typed if re.fullmatch("[a-z ]+", t)} - {text, "turn carrot into boat"}
    assert len(slips) > 5
    assert all(abs(len(slip) - len(text)) <= 1 for slip in slips if "the" in slip.split())


def test_captions_and_instructions_have_the_right_articles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overpaint.scenes.wording._SLIP", 0)
    for seed in range(150):
        made = sample_example(seed, SPLITS[seed % 3], "full", 16, version=2)
        for text in (made.original_prompt, made.edit_prompt, made.edited_prompt):
            for article, noun in pairwise(text.lower().split()):
                assert article != "a" or noun[0] not in "aeio", text
                assert article != "an" or noun[0] in "aeiou", text
                assert article != "the" or noun not in ("a", "an", "the", "some"), text


def test_some_spell_in_american() -> None:
    typed = {as_typed("recolour the house grey", Random(seed)) for seed in range(100)}
    assert {"recolour the house grey", "recolor the house gray"} <= typed


def test_an_edit_tells_which_objects_it_is_about() -> None:
    def told(edit: Edit, scene: Scene) -> bool:
        named = [thing for thing in (edit.x, edit.y) if thing is not None]
        return all(scene.items[n].thing in named for n in edit.about)

    for seed in range(200):
        made = example(seed)
        for edit in made.edit.parts or (made.edit,):
            assert told(edit, made.scene)
            assert (edit.x is None) == (not edit.about)
