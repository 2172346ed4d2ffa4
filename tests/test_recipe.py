"""A recipe means what it says: nothing unknown, double or ill-typed passes, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from overpaint.errors import UserError
from overpaint.recipe import Recipe, lock, read_block, read_recipe, read_settings


class Dropout(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: float = 0.05


class Train(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int = Field(ge=1)
    learning_rate: float = 1e-4
    mixed_precision: Literal["no", "bf16"] = "bf16"
    ema_decay: float | None = 0.99
    dropout: Dropout = Dropout()
    seed: int = 7


class Pairs(BaseModel):
    model_config = ConfigDict(extra="forbid")
    scales: list[float] = [0.15]


BLOCKS: dict[str, type[BaseModel]] = {"train": Train, "pairs": Pairs}


def read(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return read_recipe(path, BLOCKS, overrides)


def refusal(tmp_path: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text, *overrides)
    return str(caught.value).replace(str(tmp_path), "")


def test_every_known_key_is_read(tmp_path: Path) -> None:
    recipe = read(
        tmp_path,
        "name: mine\nseed: 3\nengine: ray\npairs: {scales: [0.2, 1]}\n"
        "train:\n  steps: 10\n  learning_rate: 5e-5\n  mixed_precision: no\n  ema_decay: null\n"
        "  dropout:\n    text: 0.1\n",
    )
    assert (recipe.name, recipe.seed, recipe.engine) == ("mine", 3, "ray")
    assert recipe.block("pairs", Pairs).scales == [0.2, 1.0]
    train = recipe.block("train", Train)
    assert train.learning_rate == 5e-5
    assert train.mixed_precision == "no"
    assert train.ema_decay is None
    assert train.dropout.text == 0.1


def test_the_seed_of_the_recipe_reaches_its_blocks(tmp_path: Path) -> None:
    assert read(tmp_path, "seed: 3\ntrain: {steps: 1}").block("train", Train).seed == 3
    assert read(tmp_path, "seed: 3\ntrain: {steps: 1, seed: 4}").block("train", Train).seed == 4
    assert read(tmp_path, "train: {steps: 1}").block("train", Train).seed == 7


def test_unknown_keys_are_named_with_their_line(tmp_path: Path) -> None:
    message = refusal(tmp_path, "name: x\ntrain:\n  steps: 1\n  dropout:\n    texts: 0.1\n")
    assert message == "/r.yaml: train.dropout.texts (line 5) is no known key, did you mean text?"
    assert "tran (line 1) is no known key, did you mean train?" in refusal(tmp_path, "tran: {}")


def test_wrong_types_are_named_with_their_line(tmp_path: Path) -> None:
    message = refusal(tmp_path, "train:\n  steps: many\n  learning_rate: [1]\n")
    assert "train.steps (line 2): input should be a valid integer" in message
    assert "(it is 'many')" in message
    assert "train.learning_rate (line 3): input should be a valid number" in message
    assert "pairs.scales.1 (line 1)" in refusal(tmp_path, "pairs: {scales: [1, x]}")
    assert "train (line 1) must hold keys and values" in refusal(tmp_path, "train: 3")
    assert "train.steps (line 1) is missing" in refusal(tmp_path, "train: {seed: 1}")


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, "train:\n  steps: 1\n  seed: 1\n  steps: 2\n")
    assert message == "/r.yaml: train.steps stands twice (line 2 and line 4)."


@pytest.mark.parametrize("text", ["name: [x", "- a\n- b", "just words", "a: b: c", "x: !!python/a"])
def test_what_is_no_recipe_is_one_sentence(tmp_path: Path, text: str) -> None:
    assert "\n" not in refusal(tmp_path, text)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the recipe .*: no such file"):
        read_recipe(tmp_path / "absent.yaml", BLOCKS)
    with pytest.raises(UserError, match="is a directory"):
        read_recipe(tmp_path, BLOCKS)
    (tmp_path / "b.yaml").write_bytes(b"name: \xff")
    with pytest.raises(UserError, match="no UTF-8"):
        read_recipe(tmp_path / "b.yaml", BLOCKS)


def test_overrides_win_and_are_checked_alike(tmp_path: Path) -> None:
    text = "train: {steps: 1}\n"
    recipe = read(tmp_path, text, "train.steps=5", "train.dropout.text=1e-1", "name=b")
    train = recipe.block("train", Train)
    assert (train.steps, train.dropout.text, recipe.name) == (5, 0.1, "b")
    assert "(--set train.stepz=5) is no known key" in refusal(tmp_path, text, "train.stepz=5")
    assert "train.steps (--set train.steps=0)" in refusal(tmp_path, text, "train.steps=0")
    assert "write it as key=value" in refusal(tmp_path, text, "train.steps")
    assert "no keys below it" in refusal(tmp_path, text, "train.steps.x=1")


def test_overrides_alone_make_a_recipe() -> None:
    assert read_recipe(None, BLOCKS, ["train.steps=3"]).block("train", Train).steps == 3


def test_settings_of_one_thing_are_read_with_the_same_care(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("steps: 2\ndropout: {text: 0.2}\n")
    assert read_settings(path, Train, ["seed=9"]) == Train(
        steps=2, dropout=Dropout(text=0.2), seed=9
    )
    with pytest.raises(UserError, match=r"dropout\.txt .* no known key, did you mean text"):
        read_settings(path, Train, ["dropout.txt=1"])


def test_a_block_that_is_needed_and_absent_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no block `train:`"):
        read(tmp_path, "name: x\n").block("train", Train)


def test_an_anchor_may_be_used_twice(tmp_path: Path) -> None:
    recipe = read(tmp_path, "train: {steps: 2, dropout: &d {text: 0.3}}\npairs: {scales: [1]}\n")
    assert recipe.block("train", Train).dropout.text == 0.3
    assert "stands twice" not in refusal(tmp_path, "train: &a {steps: 2, dropout: *a}\n")


def test_the_lock_holds_what_a_rerun_needs(tmp_path: Path) -> None:
    recipe = read(tmp_path, "name: x\ntrain: {steps: 1, ema_decay: null}\n")
    locked = yaml.safe_load(yaml.safe_dump(lock(recipe)))
    assert locked["recipe"]["train"]["learning_rate"] == 1e-4
    assert locked["recipe"]["seed"] == 42
    assert {"python", "torch", "diffusers"} <= locked["versions"].keys()
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(locked["recipe"]))
    assert read_recipe(again, BLOCKS) == recipe


def test_a_stage_s_command_reads_its_own_block_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("seed: 3\ntrain: {steps: 2}\npairs: {unheard: of}\nevaluate: {}\n")
    train = read_block(path, "train", Train, ["dropout.text=0.2", "train.steps=4"])
    assert (train.steps, train.seed, train.dropout.text) == (4, 3, 0.2)
    flags = {"steps": 5, "seed": None, "dropout.text": 0.3}
    assert read_block(path, "train", Train, ["steps=4"], flags).dropout.text == 0.3
    with pytest.raises(UserError, match=r"train\.steps \(on the command line\): .* \(it is 0\)"):
        read_block(path, "train", Train, [], {"steps": 0})
    path.write_text("seed: 3\n")
    assert read_block(path, "train", Train, ["steps=4"]).seed == 3
    assert read_block(None, "train", Train, ["steps=4"]).seed == 7
