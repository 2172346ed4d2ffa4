"""Published protocols: their rows, captions, judges, and the editor's own results fed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeEditor
from PIL import Image
from pydantic import ValidationError
from test_cases import parquet, plain, stored

from overpaint.errors import UserError
from overpaint.evaluation import published
from overpaint.evaluation.cases import CaseSet
from overpaint.evaluation.edits import edit_cases
from overpaint.evaluation.judges import Judges
from overpaint.evaluation.settings import EvaluateSettings, SamplingSettings
from overpaint.evaluation.sources import read_cases
from overpaint.evaluation.stage import find_cases, judges_of

LOCAL = {
    "139": {"139-output1.png": "a cat", "139-output2.png": "a hat"},
    "7": {"7-output1.png": "snow"},
}


def magicbrush(folder: Path, local: object = LOCAL) -> Path:
    """Two sessions, of two turns (their second comes first in the file) and of one."""
    turns = [
        {"input": f"{name}-{before}.png", "mask": "", "output": f"{name}-output{turn}.png",
         "instruction": text}
        for name, before, turn, text in (
            ("139", "output1", 2, "add a hat"), ("139", "input", 1, "add a cat"),
            ("7", "input", 1, "let it snow"))
    ]  # fmt: skip
    for name, values in {"139": (10, 90, 95), "7": (20, 30)}.items():
        images = folder / "images" / name
        images.mkdir(parents=True)
        for turn, value in enumerate(values):
            plain(value).save(images / f"{name}-{f'output{turn}' if turn else 'input'}.png")
    (folder / "edit_turns.json").write_text(json.dumps(turns))
    words = {"139": {"139-input.png": "a sofa", "139-output1.png": "a sofa and a cat"}}
    (folder / "global_descriptions.json").write_text(json.dumps(words))
    if local is not None:
        (folder / "local_descriptions.json").write_text(json.dumps(local))
    return folder


def by_key(cases: CaseSet) -> dict[str, Any]:
    return {case.key: case for case in map(cases.read, range(cases.count))}


def test_single_turn_edits_the_annotators_pictures_and_reads_local_captions(tmp_path: Path) -> None:
    cases = read_cases(magicbrush(tmp_path), preset="magicbrush-single")
    found = by_key(cases)
    assert len(found) == 3
    second = found["magicbrush-139-output2.png"]
    assert (second.instruction, second.earlier) == ("add a hat", ())
    assert np.asarray(second.original)[0, 0, 0] == 90
    assert (second.original_prompt, second.edited_prompt) == (None, "a hat")
    assert cases.settings["preset"] == "magicbrush-single"
    assert any("Not the same as published" in note for note in cases.notes)


def test_multi_turn_judges_the_last_result_of_each_session(tmp_path: Path) -> None:
    cases = read_cases(magicbrush(tmp_path), preset="magicbrush-multi")
    found = by_key(cases)
    assert set(found) == {"magicbrush-session-139", "magicbrush-session-7"}
    case = found["magicbrush-session-139"]
    assert (case.earlier, case.instruction, case.kind) == (("add a cat",), "add a hat", "2 turns")
    assert case.asked == "add a cat → add a hat"
    assert np.asarray(case.original)[0, 0, 0] == 10
    assert case.targets[0][0, 0, 0] == 95
    assert (case.original_prompt, case.edited_prompt) == (None, "a hat")
    assert found["magicbrush-session-7"].earlier == ()


def test_the_editor_s_own_result_of_a_turn_is_the_next_turn_s_input(tmp_path: Path) -> None:
    cases = read_cases(magicbrush(tmp_path), preset="magicbrush-multi")
    calls: list[tuple[int, str, int]] = []

    def brighter(picture: Image.Image, text: str, seed: int, *_: float) -> Image.Image:
        calls.append((np.asarray(picture)[0, 0, 0].item(), text, seed))
        return picture.point(lambda value: value + 5)

    both = [cases.read(i) for i in range(2)]
    edited = edit_cases(FakeEditor(brighter), both, SamplingSettings())  # type: ignore[arg-type]
    assert [(value, text) for value, text, _ in sorted(calls)] == [
        (10, "add a cat"), (15, "add a hat"), (20, "let it snow")]  # fmt: skip
    assert len({seed for *_, seed in calls}) == 3
    values = {
        case.key: np.asarray(picture)[0, 0, 0] for case, picture in zip(both, edited, strict=True)
    }  # type: ignore[arg-type]
    assert values == {"magicbrush-session-139": 20, "magicbrush-session-7": 25}


@pytest.mark.parametrize("fails_at", ["add a cat", "add a hat", "let it snow"])
def test_a_turn_that_fails_costs_its_own_session(tmp_path: Path, fails_at: str) -> None:
    cases = read_cases(magicbrush(tmp_path), preset="magicbrush-multi")

    def rule(picture: Image.Image, text: str, *_: object) -> Image.Image:
        if text == fails_at:
            raise UserError(f"no {text}.")
        return picture

    both = [cases.read(i) for i in range(2)]
    edited = edit_cases(FakeEditor(rule), both, SamplingSettings())  # type: ignore[arg-type]
    for case, result in zip(both, edited, strict=True):
        assert isinstance(result, UserError) == (fails_at in case.asked)


def test_a_session_that_is_no_chain_is_left_out_alone(tmp_path: Path) -> None:
    magicbrush(tmp_path)
    turns = json.loads((tmp_path / "edit_turns.json").read_text())
    turns[0]["input"] = "139-output9.png"
    (tmp_path / "edit_turns.json").write_text(json.dumps(turns))
    cases = read_cases(tmp_path, preset="magicbrush-multi")
    with pytest.raises(UserError, match=r"session 139 .* is no chain"):
        cases.read(0)
    assert cases.read(1).instruction == "let it snow"


@pytest.mark.parametrize("broken", [None, [], {"139": "words"}, {"139": ["words"]}])
def test_a_preset_without_its_captions_is_one_sentence(tmp_path: Path, broken: object) -> None:
    magicbrush(tmp_path, broken)
    for preset in ("magicbrush-single", "magicbrush-multi"):
        with pytest.raises(UserError, match=r"local_descriptions\.json"):
            read_cases(tmp_path, preset=preset)
    with pytest.raises(UserError, match="does not hold Emu Edit's test set"):
        read_cases(tmp_path, preset="emu-edit")


def test_emu_edit_s_unusable_rows_are_named_and_left_out(tmp_path: Path) -> None:
    captions = [
        ("a street", "a street in snow", None),
        ("a street", "a street", "captions are equal"),
        ("A street ", "a  street", "captions are equal"),
        ("", "a street", "a caption is empty"),
        (None, "a street", "a caption is empty"),
        ("a train station in city", "a dog", "placeholder"),
        ("a dog", "A train station in city.", "placeholder"),
        ("a train station in a city", "a train station in a city at night", None),
    ]
    rows = [
        {"instruction": "make it snow", "image": stored(plain(i)), "task": "style", "split": "test",
         "idx": i, "hash": "f0", "input_caption": before, "output_caption": after}
        for i, (before, after, _) in enumerate(captions)
    ]  # fmt: skip
    parquet(tmp_path / "data/test-00000-of-00001.parquet", rows, ("image",))
    cases = read_cases(tmp_path, preset="emu-edit")
    assert cases.count == len(captions)
    for index, (_, after, why) in enumerate(captions):
        if why is None:
            assert cases.read(index).edited_prompt == after
        else:
            with pytest.raises(
                UserError, match=rf"row {index} \(emu-edit-test-{index}-f0\).*{why}"
            ):
                cases.read(index)
    assert read_cases(tmp_path).read(1).edited_prompt == "a street"  # without the preset it stays


def test_a_preset_brings_its_judges_and_says_where_others_judge(tmp_path: Path) -> None:
    folder = str(magicbrush(tmp_path))
    own = EvaluateSettings(pairs=folder, preset="magicbrush-multi")
    assert judges_of(own).clip == "openai/clip-vit-base-patch32"
    assert judges_of(own).dino == "facebook/dino-vits16"
    assert not [note for note in find_cases(own).notes if "in the place of" in note]
    other = EvaluateSettings(pairs=folder, preset="magicbrush-multi", clip="nano", dino="none")
    assert (judges_of(other).clip, judges_of(other).dino) == ("nano", None)
    said = [note for note in find_cases(other).notes if "in the place of" in note]
    assert len(said) == 1
    assert said[0].startswith("CLIP nano judges in the place of the preset's openai/clip")
    with pytest.raises(ValidationError, match="preset belongs to pairs"):
        EvaluateSettings(preset="emu-edit")


TOY = """
from PIL import Image

from overpaint.evaluation.cases import Case, CaseSet
from overpaint.evaluation.published import Preset, PublishedSet


def read(folder):
    if not (folder / "toy.txt").is_file():
        return None
    words = (folder / "toy.txt").read_text().split()
    picture = Image.new("RGB", (16, 16))
    return CaseSet("toys", {"data": "toy"}, len(words), lambda i: Case(str(i), words[i], picture))


PUBLISHED = PublishedSet(read, {"toy-preset": Preset(read, "nothing.", clip="toy/clip")})
"""


def test_a_new_set_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cases are read, and its preset is one of the settings, with its judges and notes."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package/toy.py").write_text(TOY)
    monkeypatch.setattr(published, "__path__", [*published.__path__, str(tmp_path / "package")])
    (tmp_path / "toy.txt").write_text("swap remove")
    published.published_sets.cache_clear()
    try:
        assert read_cases(tmp_path).read(1).instruction == "remove"
        settings = EvaluateSettings(pairs=str(tmp_path), preset="toy-preset", limit=1)
        assert judges_of(settings) == Judges("toy/clip", published.DINO)
        cases = find_cases(settings)
        assert (cases.count, cases.settings["preset"]) == (1, "toy-preset")
        assert cases.notes == ("Preset toy-preset: nothing.",)
    finally:
        published.published_sets.cache_clear()


def test_an_unknown_preset_is_refused_with_the_names_of_all(tmp_path: Path) -> None:
    names = ("magicbrush-single", "magicbrush-multi", "emu-edit")
    for refuse in (
        lambda: EvaluateSettings(pairs="x", preset="magicbrush"),
        lambda: read_cases(tmp_path, preset="magicbrush"),
    ):
        with pytest.raises((ValidationError, UserError)) as caught:
            refuse()
        assert all(name in str(caught.value) for name in names)
