"""`overpaint pairs` with real models of random weights: what is printed, written and refused."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from tiny_world import build_tiny_world, words, write_triplets

from overpaint.cli import main
from overpaint.digests import digest
from overpaint.shards import read_pairs, row_key
from processes import run_command, started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def triplets(tmp_path: Path) -> Path:
    return write_triplets(tmp_path / "triplets.jsonl")


def made(out: Path) -> str:
    """A hash of what no rerun may change."""
    return digest(out / "data") + digest(out / "tallies")


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a refused command leaves on stderr."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("controlnet", {}),
        ("prompt-to-prompt", {"candidates": 3, "keep": 2, "guidance_scale": "[2, 4]"}),
    ],
)
def test_pairs_of_either_method(
    method: str,
    more: dict[str, object],
    model: Path,
    triplets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = [word for key, value in more.items() for word in ("--set", f"{key}={value}")]
    out = tmp_path / "out"
    assert main(words(triplets, model, out, "--method", method, "--json", *settings)) == 0
    report = json.loads(capsys.readouterr().out)
    pairs = read_pairs(out)
    assert report["rows"] == report["rows_kept"] == 10
    assert report["accepted"] == len(pairs) == 10 * int(more.get("keep", 1))
    assert set(pairs["method"]) == {method}
    column = "conditioning_scale" if method == "controlnet" else "attention_fraction"
    assert None not in pairs[column]
    assert (out / "pairs.html").stat().st_size > 10_000
    before = digest(out)
    assert main(words(triplets, model, out, "--method", method, *settings)) == 0
    assert "10 have a pair (100.0 %)" in capsys.readouterr().out
    assert digest(out) == before


def test_a_killed_run_ends_in_the_same_bytes(model: Path, triplets: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of the work, and the same command again."""
    assert main(words(triplets, model, tmp_path / "whole")) == 0
    out = tmp_path / "killed"
    process = started(run_command, words(triplets, model, out), str(tmp_path / "stderr.txt"))
    while process.is_alive() and not list(out.glob("data/train-*")):
        time.sleep(0.02)
    process.kill()
    process.join()
    assert list(out.glob("data/train-*"))
    assert main(words(triplets, model, out)) == 0
    assert made(out) == made(tmp_path / "whole")


def test_rows_that_are_no_use_are_counted_and_the_rest_goes_on(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(before: str, edit: str, after: str) -> str:
        return json.dumps({"original_prompt": before, "edit_prompt": edit, "edited_prompt": after})

    lines = [
        row("a cat " * 2500, "turn the cat into a dog", "a dog"),
        row("a cat 🐈‍⬛ and 👩‍👩‍👧", "make it 🌃", "a cat 🐈‍⬛ at night"),
        row("قطة على كرسي", "اجعلها كلبا", "كلب على كرسي"),
        row("a tree", "do nothing", "a  tree"),
        row("a house", "make it night", "a house at night"),
        row("a  house", "make it night", "a house at night"),
        '{"original_prompt": "half \\ud83d", "edit_prompt": "x", "edited_prompt": "y"}',
        '{"original_prompt": "no more columns"}',
        "{broken",
    ]
    source, out = tmp_path / "odd.jsonl", tmp_path / "out"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(words(source, model, out, "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["triplets"]["rejected"] == {
        "broken Unicode": 1,
        "duplicate": 1,
        "no JSON": 1,
        "no column edit_prompt and edited_prompt": 1,
        "over-long": 1,
        "the caption does not change": 1,
    }
    kept = {pair["original_prompt"] for pair in read_pairs(out)}
    assert kept == {"a cat 🐈‍⬛ and 👩‍👩‍👧", "قطة على كرسي", "a house"}


def test_a_truncated_shard_is_named(
    model: Path, triplets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    assert main(words(triplets, model, folder)) == 0
    shard = sorted(folder.glob("data/*.parquet"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    capsys.readouterr()
    assert main(words(folder, model, tmp_path / "out")) == 1
    assert f"{shard} is not what was written there: delete that" in sentence(capsys)
    shard.unlink()
    assert main(words(folder, model, tmp_path / "out")) == 1
    assert "lacks 1 of its" in sentence(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--model", "no/such/folder"), "there is no model 'no/such/folder'"),
        (("--clip", "no/such/clip"), "there is no CLIP 'no/such/clip'"),
        (("--controlnet", "./nothing"), "./nothing"),
        (("--set", "pairs.thresholds.clip_imag=0.5"), "did you mean clip_image?"),
        (("--set", "num_inference_steps=many"), "pairs.num_inference_steps"),
        (("--set", "keep=3"), "keep (3) is above the 2 candidates of a row"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    more: tuple[str, ...],
    says: str,
    model: Path,
    triplets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(words(triplets, model, tmp_path / "out", *more)) == 1
    assert says in sentence(capsys)


def test_a_model_without_a_part_is_named(
    model: Path, triplets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    shutil.rmtree(broken / "controlnet")
    assert main(words(triplets, broken, tmp_path / "out")) == 1
    assert "ControlNet" in sentence(capsys)


def test_a_full_disk_is_one_sentence_and_the_rest_is_done_afterwards(
    model: Path,
    triplets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import errno

    from overpaint import files

    flush, calls = files._flush, []

    def fill_up(path: Path) -> None:
        calls.append(path)
        if path.suffix == ".parquet" and len(calls) > 6:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        flush(path)

    out = tmp_path / "out"
    monkeypatch.setattr(files, "_flush", fill_up)
    assert main(words(triplets, model, out)) == 1
    err = capsys.readouterr().err.strip().splitlines()
    assert "no space left on device" in err[-1]
    assert not list(out.glob("data/.*"))
    monkeypatch.setattr(files, "_flush", flush)
    assert main(words(triplets, model, out)) == 0
    assert len(read_pairs(out)) == 10


def test_the_seed_of_a_row_comes_from_its_texts(
    model: Path, triplets: Path, tmp_path: Path
) -> None:
    """Among other rows, in another shard: the same row has the same pictures."""
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(triplets.read_text().splitlines()[3:5]) + "\n")
    for source, name in ((triplets, "all"), (few, "few")):
        assert main(words(source, model, tmp_path / name, "--set", "batch_size=1")) == 0

    def by_key(name: str) -> dict[str, tuple[int, bytes]]:
        return {
            row_key(pair["original_prompt"], pair["edit_prompt"], pair["edited_prompt"]): (
                pair["seed"],
                pair["edited_image"]["bytes"],
            )
            for pair in read_pairs(tmp_path / name)
        }

    every, some = by_key("all"), by_key("few")
    assert len(some) == 2
    assert some == {key: every[key] for key in some}
