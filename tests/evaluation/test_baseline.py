"""The row "return the input", and which cases a model has seen in training."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fakes import keep
from PIL import Image

from overpaint.errors import UserError
from overpaint.evaluation.baseline import baseline_stage, score_baseline
from overpaint.evaluation.cases import Case, CaseSet
from overpaint.evaluation.evaluate import seen_in_training
from overpaint.evaluation.scoring import Scorer
from overpaint.evaluation.sources import read_cases, scene_cases
from overpaint.models.train_rows import FILE, as_text, read_train_rows, row_digest, stored_digest
from overpaint.rows import Pair, pair_features, png_bytes
from overpaint.scenes.dataset import SceneSet, scene_rows
from overpaint.shards import write_shard


def unedited(cases: CaseSet, folder: Path):  # type: ignore[no-untyped-def]
    basis = {"cases": dict(cases.settings), "judges": {}}
    return score_baseline(partial(baseline_stage, cases, Scorer()), cases, folder, basis, None)


def test_the_input_scores_what_doing_nothing_scores(tmp_path: Path) -> None:
    """By hand: never retrieved, nothing touched, and as far from the target as the edit is large."""
    cases = scene_cases(13, 4)
    found = unedited(cases, tmp_path)
    assert found.label == "return the input"
    assert found.scores["overall"]["retrieval"].mean == 0.0
    assert set(found.cases.scores["untouched_psnr"]) <= {60.0, None}
    for index, distance in enumerate(found.cases.scores["l1"]):
        case = cases.read(index)
        original = np.asarray(case.original, dtype=float)
        wanted = min(np.abs(original - target).mean() / 255 for target in case.targets)
        assert distance == pytest.approx(wanted)
    again = unedited(cases, tmp_path)
    assert again == found


def test_broken_cases_are_left_out_of_the_baseline_too(tmp_path: Path) -> None:
    def read(index: int) -> Case:
        if index == 1:
            raise UserError("row 1 holds no picture.")
        picture = Image.new("RGB", (8, 8), (index, 0, 0))
        return Case(str(index), "x", picture, targets=(np.asarray(picture),))

    found = unedited(CaseSet("t", {"data": "t"}, 3, read), tmp_path)
    assert found.cases.key == ["0", "2"]
    assert [one.reason for one in found.left_out] == ["row 1 holds no picture."]


def model_of(folder: Path, digests: list[str | None]) -> str:
    folder.mkdir()
    (folder / FILE).write_text(as_text(digests))
    return str(folder)


def test_cases_from_the_training_pairs_are_recognised_one_by_one(tmp_path: Path) -> None:
    """By content, so in another folder, order and file format, and not by picture alone."""
    rows = list(scene_rows(SceneSet(12, 3), 0, 1))
    write_shard(tmp_path / "train", 0, 1, rows[:8], pair_features())
    other = {**rows[3], "edit_prompt": "do something else"}
    write_shard(tmp_path / "test", 0, 1, [rows[9], rows[5], other, rows[2]], pair_features())
    cases = read_cases(tmp_path / "test")
    trained = model_of(tmp_path / "model", [stored_digest(row, tmp_path) for row in rows[:8]])
    assert seen_in_training(trained, cases) == [cases.read(i).key for i in (1, 3)]
    assert seen_in_training(model_of(tmp_path / "other", []), cases) == []


def test_a_model_that_does_not_say_is_not_taken_for_one_that_saw_nothing(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert seen_in_training(str(tmp_path / "model"), scene_cases(2, 0)) is None
    assert read_train_rows("someone/a-model") is None
    (tmp_path / "model" / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="no list of training pairs"):
        read_train_rows(tmp_path / "model")


def test_a_digest_is_of_pixels_and_words() -> None:
    picture = Image.effect_noise((24, 18), 60).convert("RGB")
    digest = row_digest(picture, "make it night")
    changed = picture.copy()
    changed.putpixel((4, 3), (1, 2, 3))
    assert row_digest(picture.copy(), " make it  night") == digest
    assert row_digest(changed, "make it night") != digest
    assert row_digest(picture, "make it day") != digest
    assert row_digest(picture.transpose(Image.Transpose.ROTATE_90), "make it night") != digest
    row = {
        "original_image": {"bytes": png_bytes(picture), "path": None},
        "edit_prompt": "make it night",
    }
    assert stored_digest(row, Path()) == digest
    broken = {"bytes": png_bytes(picture)[:30], "path": None}
    assert stored_digest({**row, "original_image": broken}, Path()) is None


def test_a_pair_may_lack_its_mask_and_be_known() -> None:
    picture = Image.new("RGB", (16, 16))
    row = Pair(original_prompt="a", edit_prompt="b", edited_prompt="c", original_image=picture,
               edited_image=keep(picture)).to_row()  # fmt: skip
    assert row["mask"] is None
    assert stored_digest(row, Path()) == row_digest(picture, "b")
