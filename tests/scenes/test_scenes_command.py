"""`overpaint scenes`: pairs that other stages and stock loaders read, resumable, same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from overpaint.artifact import Artifact
from overpaint.cli import main
from overpaint.cli import scenes as command
from overpaint.data.cells import picture_of
from overpaint.digests import digest
from overpaint.scenes.dataset import SceneSet
from overpaint.scenes.examples import sample_example
from overpaint.shards import read_pairs


def test_pairs_load_and_hold_the_examples(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["scenes", "-n", "12", "--seed", "3", "-o", str(tmp_path / "s"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pairs"] == 12
    assert sum(report["kinds"].values()) == 12
    pairs = read_pairs(tmp_path / "s")
    row = pairs[4]
    example = sample_example(SceneSet(12, 3).example_seed(4))
    assert row["edit_prompt"] == example.edit_prompt
    assert row["kind"] == example.kind
    assert (
        np.asarray(picture_of(row["original_image"], tmp_path, "row")) == example.original
    ).all()
    assert (
        np.asarray(picture_of(row["edited_image"], tmp_path, "row")) == example.targets[0]
    ).all()


def test_stock_datasets_loads_the_folder(tmp_path: Path) -> None:
    from datasets import load_dataset

    assert main(["scenes", "-n", "5", "-o", str(tmp_path / "s"), "--split", "novel"]) == 0
    loaded = load_dataset(str(tmp_path / "s"), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(loaded) == 5
    assert loaded[0]["original_image"].size == (64, 64)


def test_a_rerun_does_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ROWS_PER_SHARD", 4)
    args = ["scenes", "-n", "12", "-o", str(tmp_path / "s")]
    assert main(args) == 0
    before = digest(tmp_path / "s")
    shards = sorted((tmp_path / "s" / "data").iterdir())
    untouched = shards[0].stat().st_mtime_ns
    shards[1].unlink()
    assert main(args) == 0
    assert digest(tmp_path / "s") == before
    assert shards[0].stat().st_mtime_ns == untouched


@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_damage_of_an_unfinished_folder_is_not_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, harm: str
) -> None:
    monkeypatch.setattr(command, "ROWS_PER_SHARD", 4)
    args = ["scenes", "-n", "12", "-o", str(tmp_path / "s")]
    with monkeypatch.context() as patch:
        patch.setattr(Artifact, "finish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(args) == 130
    shard = sorted((tmp_path / "s" / "data").iterdir())[1]
    content = bytearray(shard.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
    shard.write_bytes(content if harm == "flip" else content[:-100])
    assert main(args) == 1
    assert f"{shard} is not what was written there: delete it" in capsys.readouterr().err
    shard.unlink()
    assert main(args) == 0


def test_other_settings_in_the_same_folder_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["scenes", "-n", "3", "-o", str(tmp_path / "s")]) == 0
    assert main(["scenes", "-n", "3", "--seed", "9", "-o", str(tmp_path / "s")]) == 1
    assert (
        "was made from something else (scenes.seed was 0 and is now 9)" in capsys.readouterr().err
    )


def test_both_versions_of_the_world_are_written(tmp_path: Path) -> None:
    for version in ("1", "2"):
        folder = tmp_path / version
        args = ["scenes", "-n", "4", "--world-version", version, "--size", "32", "-o", str(folder)]
        assert main(args) == 0
        example = sample_example(SceneSet(4, 0).example_seed(1), size=32, version=int(version))  # type: ignore[arg-type]
        assert read_pairs(folder)[1]["edit_prompt"] == example.edit_prompt
    assert "--world-version 2" in (tmp_path / "2/README.md").read_text()
    assert "--world-version" not in (tmp_path / "1/README.md").read_text()
    assert main(["scenes", "-n", "4", "--size", "32", "-o", str(tmp_path / "2")]) == 1
