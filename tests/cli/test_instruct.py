"""`overpaint instruct`: what is printed, what is refused in one sentence, what recipes say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from overpaint.cli import main
from overpaint.data.formats import read_triplets
from overpaint.digests import digest
from overpaint.errors import UserError
from overpaint.instruct.everyday import everyday_triplets
from overpaint.instruct.filters import fault_of_triplet
from overpaint.instruct.kinds import KINDS
from overpaint.instruct.settings import InstructSettings
from overpaint.recipe import read_block
from overpaint.tally import Tally
from tiny_language import CAPTIONS, build_tiny_language_model, build_tiny_tokenizer

SHORT = {
    "generate.max_instruction": 12,
    "generate.max_caption": 16,
    "generate.max_new_tokens": 40,
    "generate.temperature": 1.0,
    "generate.need_reflection": "false",
    "generate.attempts": 2,
}


def generate(captions: Path, model: str | Path, out: Path, *more: str) -> int:
    words = ["instruct", "generate", "--captions", str(captions), "--model", str(model)]
    words += ["-o", str(out), "--device", "cpu"]
    for key, value in SHORT.items():
        words += ["--set", f"{key}={value}"]
    return main([*words, *more])


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / "captions.txt"
    path.write_text("\n".join(CAPTIONS[:5]) + "\n")
    return path


def test_the_same_seed_gives_the_same_bytes_for_any_batch_size(
    captions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("llguidance", reason="needs the extra llm")
    model = build_tiny_language_model(tmp_path / "model")
    hashes = []
    for size in (1, 4, 16):
        out = tmp_path / f"out-{size}"
        more = ("--set", f"generate.batch_size={size}", "--json", "--set", "format=kinds")
        assert generate(captions, model, out, *more) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["rows"] == len(read_triplets(out, Tally())) >= 3
        assert report["quality"]["valid"] == 1.0
        hashes.append(digest(out))
    assert hashes[0] == hashes[1] == hashes[2]
    assert generate(captions, model, tmp_path / "out-1", "--seed", "9") == 1
    assert "seed was 42 and is now 9" in capsys.readouterr().err


def test_a_model_without_a_tokenizer_is_one_sentence(
    captions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert generate(captions, model, tmp_path / "out") == 1
    assert "has no tokenizer (tokenizer.json)" in capsys.readouterr().err
    build_tiny_tokenizer(model)
    assert generate(captions, model, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "holds no weights (.safetensors): the model is not complete" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("model", "more", "words"),
    [
        ("nowhere", (), "there is no language model 'nowhere'"),
        ("x", ("--endpoint", "ftp://x"), "no http or https address"),
        ("x", ("--set", "generate.top=1"), "instruct.generate.top"),
        ("x", ("--set", "generate.kinds={verb: 1}"), "there is no kind verb"),
    ],
)
def test_mistakes_are_one_sentence(
    captions: Path,
    tmp_path: Path,
    model: str,
    more: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert generate(captions, model, tmp_path / "out", *more) == 1
    error = capsys.readouterr().err.strip()
    assert words in error
    assert error.startswith("overpaint: ")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_dead_endpoint_is_one_sentence(
    captions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("overpaint.instruct.endpoint.TRIES", 1)
    assert generate(captions, "m", tmp_path / "out", "--endpoint", "http://127.0.0.1:9/v1") == 1
    assert "does not serve: no connection" in capsys.readouterr().err


def test_our_own_triplets_are_many_clean_and_balanced() -> None:
    triplets = everyday_triplets()
    assert len({t.original_prompt for t in triplets}) == len(triplets) >= 150
    assert [t for t in triplets if fault_of_triplet(t)] == []
    assert {t.kind for t in triplets} == set(KINDS)


def test_examples_are_triplets_to_train_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        words = ["instruct", "examples", "-o", str(tmp_path / name), "--scenes", "40", "--json"]
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out)["scenes"] == 40
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    rows = read_triplets(tmp_path / "a", Tally())
    assert len(rows) == len(everyday_triplets()) + 40
    assert {row.kind for row in rows} <= set(KINDS)
    assert main(["instruct", "examples", "-o", str(tmp_path / "a")]) == 1
    assert "was made from something else (triplets was" in capsys.readouterr().err


def test_the_recipe_of_nano_s_writer_is_valid(root: Path) -> None:
    recipe, sets = root / "recipes/nano-instruct.yaml", ["generate.top_p=0.5", "instruct.seed=3"]
    values = read_block(recipe, "instruct", InstructSettings, sets)
    assert (values.generate.top_p, values.seed) == (0.5, 3)


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="max_new_tokens"):
        read_block(None, "instruct", InstructSettings, ["generate.max_new_tokens=900"])
