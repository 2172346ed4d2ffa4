"""Scenes with one fact wrong differ in that fact and in nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from random import Random

from overpaint.scenes.catalogue import catalogue
from overpaint.scenes.layout import Scene, sample_scene
from overpaint.scenes.one_fact import FACTS, swapped, with_one_fact_wrong

POOL = catalogue("small")


def scene_of_two() -> Scene:
    return sample_scene(Random(3), POOL, count=2)


def differences(a: Scene, b: Scene) -> Counter[str]:
    found = Counter(
        field.name
        for mine, theirs in zip(a.items, b.items, strict=True)
        for field in fields(mine)
        if getattr(mine, field.name) != getattr(theirs, field.name)
    )
    found.update(name for name in ("background", "look") if getattr(a, name) != getattr(b, name))
    return found


def test_one_fact_and_no_more_is_wrong() -> None:
    scene, names = scene_of_two(), {"object": "thing", "size": "scale"}
    found = list(with_one_fact_wrong(scene, POOL))
    assert {fact for fact, _ in found} == set(FACTS) - {"colour"}  # no object of it has a colour
    for fact, other in found:
        changed = differences(scene, other)
        assert changed in (Counter({names.get(fact, fact): 1}), Counter())  # or the scene itself


def test_a_swapped_scene_has_the_same_words() -> None:
    scene = scene_of_two()
    (other,) = swapped(scene)  # alike in size and colour
    assert differences(scene, other) == Counter({"place": 2})
    assert {item.place for item in other.items} == {item.place for item in scene.items}
    assert not list(swapped(sample_scene(Random(3), POOL, count=1)))
