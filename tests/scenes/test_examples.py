"""Scenes: same seed same bytes, splits that do not leak, answers that are exact."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from overpaint.errors import UserError
from overpaint.scenes.catalogue import COLOURS, catalogue, things
from overpaint.scenes.edits import EDITS, KINDS, kinds_of
from overpaint.scenes.examples import SPLITS, candidates, sample_caption, sample_example
from overpaint.scenes.layout import PLACES
from overpaint.scenes.phrasings import phrasings
from overpaint.scenes.rendering import render


def words_of(template: str) -> str:
    """The longest run of fixed words in a phrasing."""
    out, depth = [""], 0
    for letter in template:
        depth += (letter == "{") - (letter == "}")
        if depth or letter == "}":
            out.append("") if out[-1] else None
        else:
            out[-1] += letter
    return max(out, key=len).strip(" ,")


def test_catalogue_is_large_and_its_names_are_unique() -> None:
    names = [name for thing in catalogue() for name in (thing.name, *thing.synonyms)]
    assert len(catalogue("full")) >= 150
    assert len(things("small", "seen")) >= 40
    assert len(things("small", "novel")) >= 8
    assert len(names) == len(set(names))
    assert all(thing.plural and thing.article in ("a", "an", "some") for thing in catalogue())
    assert len(COLOURS) == 8


def test_every_drawing_of_the_catalogue_renders() -> None:
    from overpaint.scenes.rendering import sprite

    for thing in catalogue():
        whole = sprite(thing.file, 32, None, False)
        lines = sprite(thing.file, 32, None, True)
        assert whole.shape == (32, 32, 4), thing.name
        assert whole[..., 3].max() > 200, thing.name
        assert lines[..., 3].sum() > 0, thing.name


def test_at_least_twelve_kinds_with_a_fifth_of_their_phrasings_held_out() -> None:
    assert len(KINDS) >= 12
    for kind in KINDS:
        seen, held_out = phrasings(kind, False), phrasings(kind, True)
        assert len(seen) >= 8
        assert len(held_out) * 5 >= len(seen) + len(held_out)
        assert not set(seen) & set(held_out)


@pytest.mark.parametrize("version", [1, 2])
def test_every_kind_of_a_version_is_said(version) -> None:
    for kind in kinds_of(version):
        assert all(len(phrasings(kind, held_out, version)) >= 2 for held_out in (False, True))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bytes(split: str, kind: str) -> None:
    a, b = (sample_example(5, split, kinds=(kind,)) for _ in range(2))  # type: ignore[arg-type]
    assert a == b
    assert a.kind == kind
    assert a.original.tobytes() == b.original.tobytes()
    assert [t.tobytes() for t in a.targets] == [t.tobytes() for t in b.targets]


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_changes_the_picture_and_only_where_it_should(kind: str) -> None:
    for seed in range(20):
        example = sample_example(seed, kinds=(kind,))
        for target in example.targets:
            assert (target != example.original).any()
            assert (target == example.original)[example.untouched].all()
        if kind in ("remove", "recolour", "enlarge", "shrink", "replace", "add at"):
            assert example.untouched.mean() > 0.6


def test_add_anywhere_has_an_answer_for_each_free_place() -> None:
    for seed in range(20):
        example = sample_example(seed, kinds=("add",))
        assert len(example.targets) == len(PLACES) - len(example.scene.items) >= 2
        assert len({t.tobytes() for t in example.targets}) == len(example.targets)


def test_greyscale_line_drawing_and_night_are_what_they_say() -> None:
    for seed in range(10):
        grey = sample_example(seed, kinds=("greyscale",)).targets[0].astype(int)
        assert (grey == grey[..., :1]).all()
        lines = sample_example(seed, kinds=("line drawing",)).targets[0].astype(int)
        assert (lines == lines[..., :1]).all()
        assert np.median(lines) == 255
        night = sample_example(seed, kinds=("night",))
        assert night.targets[0].mean() < 0.6 * night.original.mean()


def test_move_and_swap_keep_the_objects() -> None:
    for seed in range(20):
        for kind in ("move", "swap"):
            example = sample_example(seed, kinds=(kind,))
            before = {item.thing for item in example.scene.items}
            assert {item.thing for item in example.edit.answers[0].items} == before
            assert example.original_prompt != example.edited_prompt


def test_training_never_edits_novel_objects_but_captions_show_them() -> None:
    for seed in range(400):
        example = sample_example(seed)
        shown = [i.thing for s in (example.scene, *example.edit.answers) for i in s.items]
        assert all(thing.role == "seen" for thing in shown)
    captioned = [sample_caption(seed)[0] for seed in range(200)]
    assert any(item.thing.role == "novel" for scene in captioned for item in scene.items)


def test_novel_split_always_involves_a_novel_object() -> None:
    for seed in range(100):
        example = sample_example(seed, "novel")
        shown = [i.thing for s in (example.scene, *example.edit.answers) for i in s.items]
        assert any(thing.role == "novel" for thing in shown)


def test_held_out_scenes_and_phrasings_are_disjoint_from_training() -> None:
    train = {sample_example(seed).scene.signature() for seed in range(400)}
    held_out = {sample_example(seed, "heldout").scene.signature() for seed in range(400)}
    assert not train & held_out
    for kind in KINDS:
        fixed = [words_of(p) for p in phrasings(kind, True)]
        for seed in range(5):
            prompt = sample_example(seed, "heldout", kinds=(kind,)).edit_prompt
            assert any(words in prompt for words in fixed), prompt


def test_kinds_are_drawn_by_their_weights() -> None:
    kinds = [sample_example(seed).kind for seed in range(600)]
    assert set(kinds) == set(KINDS)
    assert kinds.count("replace") > kinds.count("night")
    assert all(kind.weight > 0 for kind in EDITS.values())


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_candidates_hold_the_original_and_no_right_answer(split: str) -> None:
    for seed in range(13):
        kind = KINDS[seed]
        example = sample_example(seed, split, kinds=(kind,))  # type: ignore[arg-type]
        wrong = candidates(example, 32)
        assert len(wrong) == 31
        assert wrong[0].tobytes() == example.original.tobytes()
        answers = {target.tobytes() for target in example.targets}
        assert not answers & {w.tobytes() for w in wrong}
        same_scene = [w for w in wrong[1:] if np.abs(w.astype(int) - example.original).mean() < 60]
        assert len(same_scene) >= 12  # hard negatives: other instructions on the same scene


@pytest.mark.parametrize("size", [8, 17, 64, 200])
def test_renders_at_any_size(size: int) -> None:
    example = sample_example(1, size=size)
    assert example.original.shape == (size, size, 3)
    assert example.original.dtype == np.uint8


def test_a_larger_rendering_shows_the_same_scene() -> None:
    scene = sample_example(1).scene
    small, large = render(scene, 64), render(scene, 256)
    shrunk = large.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small).mean() < 6


@pytest.mark.parametrize("size", [0, 7, 5000])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(UserError, match="give a size from 8"):
        render(sample_example(1).scene, size)


def test_captions_and_instructions_read_like_language() -> None:
    for seed in range(300):
        example = sample_example(seed, world="full")
        for text in (example.original_prompt, example.edit_prompt, example.edited_prompt):
            assert text
            assert "{" not in text
            assert "  " not in text
            assert text == text.strip()
            words = text.replace(",", "").split()
            for article, noun in pairwise(words):
                if article == "a":
                    assert noun[0] not in "aeio", text
                if article == "an":
                    assert noun[0] in "aeiou", text
