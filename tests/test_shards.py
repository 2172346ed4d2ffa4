"""A dataset is the same whatever wrote it in whatever order, and never half read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from overpaint.data.cells import picture_of
from overpaint.errors import UserError
from overpaint.rows import Pair, pair_features
from overpaint.shards import (
    missing_shards,
    read_pairs,
    row_key,
    row_seed,
    shard_of,
    shard_path,
    split,
    write_card,
    write_shard,
)


def pair_row(number: int) -> dict[str, Any]:
    return Pair(
        original_prompt=f"a cat {number}",
        edit_prompt="make it red",
        edited_prompt="a red cat",
        original_image=Image.new("RGB", (8, 8), (number, 0, 0)),
        edited_image=Image.new("RGB", (8, 8), (0, number, 0)),
        seed=2**62 + number,
        guidance_scale=0.15,
    ).to_row()


def write_pairs(folder: Path, shards: int = 2, rows: int = 6) -> None:
    for index in range(shards):
        part = (pair_row(number) for number in range(index, rows, shards))
        write_shard(folder, index, shards, part, pair_features())
    write_card(folder, "Pairs", "For a test.", license="cc-by-sa-4.0")


def test_pairs_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    pairs = read_pairs(tmp_path)
    assert [row["original_prompt"] for row in pairs] == [f"a cat {n}" for n in (0, 2, 4, 1, 3, 5)]
    row = pairs[1]
    assert row["seed"] == 2**62 + 2
    assert row["guidance_scale"] == 0.15
    assert row["clip_image"] is None
    assert np.asarray(picture_of(row["edited_image"], tmp_path, "row 1"))[0, 0].tolist() == [
        0,
        2,
        0,
    ]


def test_the_hub_loader_reads_the_folder_too(tmp_path: Path) -> None:
    from datasets import load_dataset

    write_pairs(tmp_path)
    assert load_dataset(str(tmp_path), split="train").num_rows == 6


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_pairs(tmp_path / name)
    for index in range(2):
        one, other = (shard_path(tmp_path / name, index, 2).read_bytes() for name in ("a", "b"))
        assert one == other


def test_more_rows_than_a_group_keep_their_order(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, 1, (pair_row(number % 200) for number in range(600)), pair_features())
    prompts = read_pairs(tmp_path)["original_prompt"]
    assert list(prompts) == [f"a cat {number % 200}" for number in range(600)]


def test_a_writer_that_fails_leaves_its_shard_missing(tmp_path: Path) -> None:
    def rows() -> Any:
        yield pair_row(0)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_shard(tmp_path, 1, 3, rows(), pair_features())
    write_shard(tmp_path, 0, 3, [pair_row(0)], pair_features())
    assert missing_shards(tmp_path, 3) == [1, 2]
    assert [path.name for path in (tmp_path / "data").iterdir()] == [shard_path("", 0, 3).name]


def test_nothing_written_means_everything_is_missing(tmp_path: Path) -> None:
    assert missing_shards(tmp_path / "new", 2) == [0, 1]


def test_shards_of_another_dataset_are_not_mixed_in(tmp_path: Path) -> None:
    write_pairs(tmp_path, shards=2)
    with pytest.raises(UserError, match="already holds a dataset of 2 shards"):
        missing_shards(tmp_path, 3)
    write_pairs(tmp_path, shards=3)
    with pytest.raises(UserError, match="two datasets, of 2 and of 3 shards"):
        read_pairs(tmp_path)


def test_an_unfinished_or_broken_dataset_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        read_pairs(tmp_path / "absent")
    with pytest.raises(UserError, match="holds no dataset"):
        read_pairs(tmp_path)
    write_pairs(tmp_path)
    second = shard_path(tmp_path, 1, 2)
    whole = second.read_bytes()
    second.unlink()
    with pytest.raises(UserError, match=r"lacks 1 of its 2 shards \(1\)"):
        read_pairs(tmp_path)
    second.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"00001-of-00002\.parquet: it is no whole parquet file"):
        read_pairs(tmp_path)
    second.write_bytes(whole[:4] + b"\xff" * 3000 + whole[3004:])
    with pytest.raises(UserError, match="cannot read"):
        read_pairs(tmp_path)


def test_other_tables_are_not_taken_for_pairs(tmp_path: Path) -> None:
    from datasets import Features, Value

    features = Features({"edit_prompt": Value("string")})
    write_shard(tmp_path, 0, 1, [{"edit_prompt": "x"}], features)
    with pytest.raises(UserError, match="no column original_image or edited_image"):
        read_pairs(tmp_path)


def test_keys_never_change() -> None:
    key = row_key("a cat", "make it red")
    assert key == "dc02281f0dafc7c114c771387110e2d0"
    assert row_seed(0, key) == 5726173254207353217
    assert row_key("ab", "c") != row_key("a", "bc")


def test_keys_spread_over_the_shards() -> None:
    counts = np.bincount([shard_of(row_key(str(n)), 8) for n in range(4000)], minlength=8)
    assert counts.min() > 400


def test_rows_find_their_shard_by_their_key_alone() -> None:
    words = [f"word {n}" for n in range(50)]
    shards = split(words, row_key, 8)
    assert len(shards) == 7
    assert sorted(word for shard in shards for word in shard) == sorted(words)
    assert split(reversed(words), row_key, 8) == shards
    assert all(shard == sorted(shard, key=row_key) for shard in shards)
    assert split([], row_key, 8) == []


def test_more_shards_than_five_digits_count_are_found(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, 225_000, [], pair_features())
    write_shard(tmp_path, 100_001, 225_000, [], pair_features())
    missing = missing_shards(tmp_path, 225_000)
    assert len(missing) == 224_998
    assert not {0, 100_001} & set(missing)
