"""What is read to be evaluated: scenes, pairs, MagicBrush, Emu Edit, and all that can be missing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from overpaint.errors import UserError
from overpaint.evaluation.sources import benchmark_examples, read_cases, scene_cases
from overpaint.metrics.retrieval import is_retrieved
from overpaint.rows import Pair, pair_features, png_bytes
from overpaint.scenes.dataset import SceneSet, scene_rows
from overpaint.scenes.edits import KINDS
from overpaint.scenes.examples import sample_example
from overpaint.shards import write_shard


def plain(value: int, size: tuple[int, int] = (20, 16)) -> Image.Image:
    return Image.new("RGB", size, (value, value, value))


def parquet(path: Path, rows: list[dict[str, Any]], images: tuple[str, ...]) -> None:
    from datasets import Dataset
    from datasets import Image as ImageFeature

    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.from_list(rows)
    for name in images:
        dataset = dataset.cast_column(name, ImageFeature(decode=False))
    dataset.to_parquet(path)


def stored(image: Image.Image | None) -> dict[str, Any] | None:
    return None if image is None else {"bytes": png_bytes(image), "path": None}


def test_scenes_are_those_of_the_benchmark_and_sanely_judged() -> None:
    """The exact target is retrieved, the unedited input never, for every kind."""
    cases = scene_cases(13, 99)
    examples = benchmark_examples(13, 99, "heldout")
    assert {cases.read(i).kind for i in range(13)} == set(KINDS)
    for index, example in enumerate(examples):
        case = cases.read(index)
        assert case.instruction == example.edit_prompt
        assert case.wrong is not None
        wrong = case.wrong()
        assert len(wrong) == 31
        assert is_retrieved(example.targets[-1], case.targets, wrong)
        assert not is_retrieved(example.original, case.targets, wrong)


def test_pairs_of_scenes_know_what_no_right_answer_changes(tmp_path: Path) -> None:
    """The mask is that of the example, also where several answers are right."""
    settings = SceneSet(24, 1)
    write_shard(tmp_path, 0, 1, scene_rows(settings, 0, 1), pair_features())
    cases = read_cases(tmp_path)
    several = 0
    for index in range(24):
        example = sample_example(settings.example_seed(index))
        case = cases.read(index)
        assert case.untouched is not None
        assert (case.untouched == example.untouched).all()
        several += len(example.targets) > 1
    assert several
    assert any("several answers are right" in note for note in cases.notes)


def test_a_mask_of_another_size_costs_its_row(tmp_path: Path) -> None:
    texts = {"original_prompt": "a", "edit_prompt": "b", "edited_prompt": "c"}
    pictures = {"original_image": plain(1), "edited_image": plain(2)}
    masks = (plain(255), plain(0), plain(0, (16, 16)))
    rows = [Pair(**texts, **pictures, mask=mask).to_row() for mask in masks]
    write_shard(tmp_path, 0, 1, rows, pair_features())
    cases = read_cases(tmp_path)
    assert [cases.read(i).untouched.all() for i in range(2)] == [False, True]  # type: ignore[union-attr]
    with pytest.raises(UserError, match="mask of another size"):
        cases.read(2)


def test_pairs_of_scenes_of_old_without_masks_know_what_they_can(tmp_path: Path) -> None:
    settings = SceneSet(8, 1)
    features = pair_features()
    rows = [{**row, "mask": None} for row in scene_rows(settings, 0, 1)]
    write_shard(tmp_path / "null", 0, 1, rows, features)
    del features["mask"]
    rows = [{k: v for k, v in row.items() if k != "mask"} for row in rows]
    write_shard(tmp_path, 0, 1, rows, features)
    cases = read_cases(tmp_path)
    kinds = {}
    for index in range(8):
        case = cases.read(index)
        kinds[case.kind] = case.untouched is not None
        assert (read_cases(tmp_path / "null").read(index).untouched is not None) == kinds[case.kind]
    assert kinds == {kind: kind != "add" for kind in kinds}
    assert len(kinds) > 3
    case = cases.read(3)
    assert (cases.count, case.kind in KINDS, case.wrong) == (8, True, None)
    assert case.untouched is not None
    same = (np.asarray(case.original) == case.targets[0]).all(axis=-1)
    assert (case.untouched == same).all()
    assert read_cases(tmp_path, limit=3).count == 3
    assert read_cases(tmp_path, limit=3).settings != cases.settings


def test_pairs_without_captions_are_evaluated_with_a_note(tmp_path: Path) -> None:
    rows = [
        {"original_image": stored(plain(i)), "edit_prompt": "x", "edited_image": stored(plain(9))}
        for i in range(2)
    ]
    parquet(
        tmp_path / "data/train-00000-of-00001.parquet", rows, ("original_image", "edited_image")
    )
    cases = read_cases(tmp_path)
    assert "no column original_prompt or edited_prompt" in cases.notes[0]
    assert cases.read(1).edited_prompt is None


def test_a_broken_picture_and_an_empty_instruction_are_broken_alone(tmp_path: Path) -> None:
    broken = {"bytes": png_bytes(plain(3))[:40], "path": None}
    good = {
        "original_image": stored(plain(1)),
        "edit_prompt": "x",
        "edited_image": stored(plain(2)),
    }
    rows = [good, good | {"original_image": broken}, good | {"edited_image": None},
            good | {"edit_prompt": " "}]  # fmt: skip
    parquet(
        tmp_path / "data/train-00000-of-00001.parquet", rows, ("original_image", "edited_image")
    )
    cases = read_cases(tmp_path)
    assert cases.read(0).instruction == "x"
    for index, words in ((1, "row 1 of .*original_image"), (2, "row 2 .* holds no picture"),
                         (3, "row 3 .*edit_prompt is empty")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            cases.read(index)


def test_an_empty_dataset_and_a_missing_folder_are_one_sentence(tmp_path: Path) -> None:
    write_shard(tmp_path / "empty", 0, 1, [], pair_features())
    with pytest.raises(UserError, match="holds no pairs"):
        read_cases(tmp_path / "empty")
    with pytest.raises(UserError, match="there is no folder"):
        read_cases(tmp_path / "nothing")
    (tmp_path / "bare").mkdir()
    with pytest.raises(UserError, match="holds no dataset"):
        read_cases(tmp_path / "bare")


def masked(size: tuple[int, int]) -> Image.Image:
    """As MagicBrush's masks: the picture, transparent where it is to be edited."""
    mask = plain(50, size).convert("RGBA")
    mask.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1]))
    return mask


def test_magicbrush_s_test_folder(tmp_path: Path) -> None:
    images = tmp_path / "test" / "images" / "139"
    images.mkdir(parents=True)
    plain(10).save(images / "139-input.png")
    plain(90).save(images / "139-output1.png")
    plain(95, (40, 32)).save(images / "139-output2.png")
    masked((20, 16)).save(images / "139-mask1.png")
    turns = [
        {"input": "139-input.png", "mask": "139-mask1.png", "output": "139-output1.png",
         "instruction": "add a cat"},
        {"input": "139-output1.png", "mask": "139-mask2.png", "output": "139-output2.png",
         "instruction": "remove it"},
        {"input": "7-input.png", "mask": "", "output": "7-output1.png", "instruction": "x"},
    ]  # fmt: skip
    (tmp_path / "test/edit_turns.json").write_text(json.dumps(turns))
    captions = {"139": {"139-input.png": "a sofa", "139-output1.png": "a cat on a sofa"}}
    (tmp_path / "test/global_descriptions.json").write_text(json.dumps(captions))
    cases = read_cases(tmp_path)
    first, second = cases.read(0), cases.read(1)
    assert (first.instruction, first.kind) == ("add a cat", "turn 1")
    assert (first.original_prompt, first.edited_prompt) == ("a sofa", "a cat on a sofa")
    assert first.untouched is not None
    assert first.untouched[:, :10].sum() == 0
    assert first.untouched[:, 10:].all()
    assert (second.kind, second.untouched, second.edited_prompt) == ("turn 2", None, None)
    assert second.targets[0].shape == (16, 20, 3)
    with pytest.raises(UserError, match=r"7-input\.png"):
        cases.read(2)


def test_magicbrush_s_parquet_and_emu_edit_s(tmp_path: Path) -> None:
    stream = io.BytesIO()
    masked((20, 16)).save(stream, "PNG")
    brush = [{"img_id": "5", "turn_index": 2, "source_img": stored(plain(1)),
              "mask_img": {"bytes": stream.getvalue(), "path": None}, "instruction": "add a hat",
              "target_img": stored(plain(2))}]  # fmt: skip
    path = tmp_path / "brush/data/dev-00000-of-00001-ab12.parquet"
    parquet(path, brush, ("source_img", "mask_img", "target_img"))
    case = read_cases(tmp_path / "brush").read(0)
    assert (case.key, case.kind, case.instruction) == ("magicbrush-5-2", "turn 2", "add a hat")
    assert case.untouched is not None
    assert case.untouched.mean() == 0.5

    emu = [{"instruction": "make it snow", "image": stored(plain(4)), "task": "background",
            "split": "test", "idx": 3, "hash": "f0", "input_caption": "a street",
            "output_caption": "a street in snow"}]  # fmt: skip
    parquet(tmp_path / "emu/data/test-00000-of-00001.parquet", emu, ("image",))
    parquet(tmp_path / "emu/data/validation-00000-of-00001.parquet", emu * 2, ("image",))
    cases = read_cases(tmp_path / "emu")
    case = cases.read(0)
    assert (cases.count, case.kind, case.edited_prompt) == (1, "background", "a street in snow")
    assert case.targets == ()
    assert "no right answers" in cases.notes[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"original_image": plain(2)},
        {"edited_image": plain(2)},
        {"mask": plain(0).convert("L")},
        {"edit_prompt": "y"},
        {"edited_prompt": "y"},
        {"original_prompt": "y"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_pair_is_named_by_all_its_content(tmp_path: Path, changed: dict[str, Any]) -> None:
    """Two datasets must not be compared case by case because their rows have the same numbers."""
    same = {"original_prompt": "p", "edit_prompt": "x", "edited_prompt": "q"}
    same |= {"original_image": plain(1), "edited_image": plain(9)}
    for name, values in (("a", same), ("b", same | changed), ("again", same)):
        write_shard(tmp_path / name, 0, 1, [Pair(**values).to_row()], pair_features())
    a, b, again = (read_cases(tmp_path / name).read(0).key for name in ("a", "b", "again"))
    assert a == again
    assert a != b


def test_published_rows_without_numbers_are_different_cases(tmp_path: Path) -> None:
    row = {"source_img": stored(plain(1)), "instruction": "add a hat",
           "target_img": stored(plain(2))}  # fmt: skip
    parquet(tmp_path / "brush/dev.parquet", [row] * 3, ("source_img", "target_img"))
    cases = read_cases(tmp_path / "brush")
    assert len({cases.read(i).key for i in range(3)}) == 3
