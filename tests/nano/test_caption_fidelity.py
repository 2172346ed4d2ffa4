"""Caption fidelity: the wrong captions are wrong in one thing, and the judges judge."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import count
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from nano.caption_fidelity import (
    FACTS,
    CaptionCase,
    Claim,
    Verdict,
    caption_case,
    judge_by_clip,
    judge_by_renders,
    least_error,
    summarise,
)
from overpaint.scenes.catalogue import Role, catalogue
from overpaint.scenes.layout import SIZE, Item, Look, Scene
from overpaint.scenes.rendering import render
from overpaint.seeds import derive_seed

ROLES: tuple[Role, ...] = ("seen", "novel")
THINGS = {thing.name: thing for thing in catalogue("small")}
CASES = [caption_case(seed) for seed in range(40)]


def differing_words(a: str, b: str) -> list[tuple[str, str]]:
    """Word by word, "an" counted as "a"; the captions must be equally long."""
    pairs = zip(*(text.replace(",", " ,").split() for text in (a, b)), strict=True)
    return [(x, y) for x, y in pairs if x != y and {x, y} != {"a", "an"}]


@pytest.mark.parametrize("role", ROLES)
def test_same_seed_same_case(role: Role) -> None:
    assert caption_case(5, role) == caption_case(5, role)
    assert caption_case(5, role).right != caption_case(6, role).right


def test_all_captions_of_a_case_differ() -> None:
    for case in CASES:
        assert len({claim.caption for claim in case.claims}) == 32


def test_every_fact_gets_its_wrong_captions() -> None:
    facts = Counter(claim.fact for case in CASES for claim in case.wrong)
    assert set(facts) == set(FACTS)
    assert facts["object"] > facts["background"] > 0


def test_one_word_is_wrong() -> None:
    """Objects may have names of two words, sizes come and go, looks are phrases: not counted."""
    counted = 0
    for case in CASES:
        for claim in case.wrong:
            if claim.fact in ("colour", "place", "background"):
                assert len(differing_words(case.right.caption, claim.caption)) == 1
                counted += 1
    assert counted > 100


def test_a_wrong_object_is_no_synonym_of_one_that_is_there() -> None:
    for case in CASES:
        names = {n for i in case.right.scene.items for n in (i.thing.name, *i.thing.synonyms)}
        for claim in case.wrong:
            new = set(claim.scene.items) - set(case.right.scene.items)
            if claim.fact == "object":
                assert not names & {n for i in new for n in (i.thing.name, *i.thing.synonyms)}


def test_roles_decide_which_objects_are_shown() -> None:
    for case in CASES:
        shown = {item.thing.role for claim in case.claims for item in claim.scene.items}
        assert shown == {"seen"}
    for seed in range(20):
        scene = caption_case(seed, "novel").right.scene
        assert "novel" in {item.thing.role for item in scene.items}


def test_what_a_look_hides_is_never_the_wrong_fact() -> None:
    for case in CASES:
        if case.right.scene.look in ("line drawing", "greyscale"):
            facts = {claim.fact for claim in case.wrong}
            assert not facts & {"colour", "background", "look"}


@pytest.mark.parametrize("places_open", [False, True])
def test_size_and_shift_are_fitted_together(places_open: bool) -> None:
    """Fitted one after the other, this pizza in the corner of its quarter is taken for a tiny one."""
    case = caption_case(derive_seed(1234, "case", 4), places_open=places_open)
    assert judge_by_renders(render(case.right.scene, 64), case).hit


@pytest.mark.slow
@pytest.mark.parametrize("look", get_args(Look))
def test_the_true_render_is_right_wherever_it_stands(look: str) -> None:
    case = next(c for c in map(caption_case, count()) if c.right.scene.look == look)
    for size, dx, dy in ((0.9, 0.02, -0.02), (0.97, -0.013, 0.007), (1.0, 0.0, 0.02)):
        scene = case.right.scene
        items = tuple(replace(item, size=size * SIZE, dx=dx, dy=dy) for item in scene.items)
        assert judge_by_renders(render(replace(scene, items=items), 64), case).hit


@pytest.mark.slow
def test_with_open_places_any_quarter_is_right() -> None:
    for case in (caption_case(seed, places_open=True) for seed in range(6)):
        assert not any("in the" in claim.caption.split(" front")[0] for claim in case.claims)
        scene = case.right.scene
        free = [*scene.free_places(), *(item.place for item in scene.items)]
        moved = tuple(
            replace(item, place=place) for item, place in zip(scene.items, free, strict=False)
        )
        picture = render(replace(scene, items=moved), 64)
        assert judge_by_renders(picture, case).hit
        assert not judge_by_renders(picture, replace(case, places_open=False)).hit


@pytest.mark.parametrize("fact", FACTS)
def test_the_fact_that_a_picture_has_wrong_is_found(fact: str) -> None:
    case, claim = next((c, w) for c in CASES for w in c.wrong if w.fact == fact)
    verdict = judge_by_renders(render(claim.scene, 64), case)
    assert not verdict.hit
    assert not verdict.by_fact[fact]


@pytest.mark.slow
def test_noise_is_not_right() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert sum(judge_by_renders(noise, case).hit for case in CASES[:8]) <= 2


def test_least_error_fits_what_the_caption_leaves_open() -> None:
    item = Item(THINGS["cat"], "top left", size=0.9 * SIZE, dx=0.02, dy=-0.02)
    drawn = Scene("green", (item, Item(THINGS["car"], "bottom right")), look="greyscale")
    elsewhere = Scene("red", (replace(item, size=SIZE, dx=0.0, dy=0.0), drawn.items[1]), drawn.look)
    assert least_error(render(drawn, 64), elsewhere) == 0
    in_colour = replace(drawn, look="plain")
    assert least_error(render(in_colour, 64), replace(elsewhere, look="plain")) > 1000


@dataclass
class FakeClip:
    """Every caption has the vector that stands here for it, the picture has (1, 0)."""

    vectors: dict[str, tuple[float, float]]

    def images(self, pictures: list[Image.Image]) -> Tensor:
        return torch.tensor([[1.0, 0.0]] * len(pictures))

    def texts(self, texts: list[str]) -> Tensor:
        return torch.tensor([self.vectors[text] for text in texts])


@pytest.mark.parametrize(("cosine", "hit"), [(0.9, True), (0.5, False), (0.4, False)])
def test_clip_needs_its_own_caption_to_win_outright(cosine: float, hit: bool) -> None:
    scene = Scene("red", (Item(THINGS["cat"], "top left"),))
    case = CaptionCase(
        0, Claim("a", scene), (Claim("b", scene, "object"), Claim("c", scene, "size"))
    )
    clip = FakeClip({"a": (cosine, 0.0), "b": (0.5, 0.0), "c": (0.1, 0.0)})
    (verdict,) = judge_by_clip([render(scene, 64)], [case], clip)  # type: ignore[arg-type]
    assert verdict == Verdict({"object": hit, "size": True})
    assert verdict.hit is hit


def test_a_fact_counts_where_it_was_to_be_told() -> None:
    verdicts = [Verdict({"object": True, "place": False}), Verdict({"object": True})]
    found = summarise(verdicts)
    assert found["all"].mean == 0.5
    assert (found["object"].mean, found["object"].count) == (1, 2)
    assert (found["place"].mean, found["place"].count) == (0, 1)
    assert "size" not in found
