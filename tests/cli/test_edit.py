"""`overpaint edit` from end to end, with the tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from overpaint.cli import main
from tiny import build_tiny_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "in.png"
    Image.linear_gradient("L").resize((48, 36)).convert("RGB").save(path)
    return path


@pytest.fixture
def run(folder, picture, tmp_path, monkeypatch, capfd):
    """Run the command on the picture; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    # No picture is like those that the random autoencoder was made for.
    monkeypatch.setattr("overpaint.families.ip2p.MAX_LOSS", 256.0)

    def edit(*words: object, steps: int = 2):
        # The first of these flags may come again among the words: the last one counts.
        flags = ["--model", str(folder), "--device", "cpu", "--steps", str(steps)]
        code = main(["edit", *flags, *map(str, words)])
        out, err = capfd.readouterr()
        return code, out, err

    return edit


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "in.png")


def test_one_picture(run, picture, tmp_path):
    code, out, err = run(picture, "make it night", "-o", tmp_path / "out.png")
    assert (code, out) == (0, f"{tmp_path / 'out.png'}\n")
    assert "editing: 2/2" in err
    assert names(tmp_path) == ["out.png"]
    with Image.open(tmp_path / "out.png") as edited:
        assert edited.size == (48, 36)
        made_by = json.loads(edited.text["overpaint"])
    assert made_by["instructions"] == ["make it night"]
    assert (made_by["seed"], made_by["steps"]) == (0, 2)


def test_the_output_is_named_after_the_input(run, picture, tmp_path):
    assert run(picture, "make it night")[0] == 0
    assert names(tmp_path) == ["in-edited.png"]


def test_json_is_all_that_stdout_holds(run, picture, tmp_path):
    code, out, _ = run(
        *(picture, "make it night", "-o", tmp_path / "out.png", "--json", "--seed", 4, "--num", 2),
        *("--guidance-scale", 3, "--image-guidance-scale", 1.2),
    )
    assert code == 0
    report = json.loads(out)
    assert report["output"] == str(tmp_path / "out.png")
    assert report["contact_sheet"] is True
    assert report["size"] == [48, 36]
    assert (report["steps"], report["device"], report["dtype"]) == (2, "cpu", "float32")
    assert report["notes"] == []
    assert set(report["seconds"]) == {"load", "edit"}
    assert report["results"] == [
        {
            "path": str(tmp_path / f"out-{i}.png"),
            "instructions": ["make it night"],
            "seed": 4 + i,
            "guidance_scale": 3.0,
            "image_guidance_scale": 1.2,
        }
        for i in range(2)
    ]


def test_several_instructions_are_applied_in_turn(run, picture, tmp_path):
    words = ("make it night", "add a red apple")
    assert run(picture, *words, "-o", tmp_path / "out.png")[0] == 0
    assert names(tmp_path) == ["out.png"]
    assert run(picture, words[0], "-o", tmp_path / "first.png")[0] == 0
    with Image.open(tmp_path / "out.png") as both, Image.open(tmp_path / "first.png") as first:
        assert both.tobytes() != first.tobytes()
        assert json.loads(both.text["overpaint"])["instructions"] == list(words)


@pytest.mark.parametrize(
    ("flags", "count"),
    [(["--each"], 2), (["--each", "--num", "2"], 4), (["--num", "3"], 3)],
)
def test_several_results_make_a_sheet_and_lie_beside_it(run, picture, tmp_path, flags, count):
    code, *_ = run(picture, "make it night", "add a red apple", "-o", tmp_path / "out.png", *flags)
    assert code == 0
    assert names(tmp_path) == sorted(["out.png", *(f"out-{i}.png" for i in range(count))])
    with Image.open(tmp_path / "out.png") as sheet, Image.open(tmp_path / "out-0.png") as one:
        assert one.size == (48, 36)
        assert sheet.width > 2 * one.width


def test_sweep_over_both_scales(run, picture, tmp_path):
    axes = ("--guidance-scale", "2,4,6", "--image-guidance-scale", "1,1.5")
    code, out, _ = run(
        picture, "make it night", "-o", tmp_path / "s.png", "--sweep", "--json", *axes
    )
    assert code == 0
    pairs = [(r["image_guidance_scale"], r["guidance_scale"]) for r in json.loads(out)["results"]]
    assert pairs == [(i, t) for i in (1.0, 1.5) for t in (2.0, 4.0, 6.0)]
    assert names(tmp_path) == ["s.png"]


def test_sweep_finds_its_own_axes(run, picture, tmp_path):
    code, out, _ = run(
        picture, "make it night", "-o", tmp_path / "s.png", "--sweep", "--json", steps=1
    )
    assert code == 0
    assert len(json.loads(out)["results"]) == 25


def test_remarks_are_on_stderr_and_in_the_report(run, tmp_path):
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (32, 32), (255, 0, 0, 100)).save(clear)
    code, out, err = run(clear, "cat " * 10_000, "-o", tmp_path / "out.png", "--json")
    assert code == 0
    notes = json.loads(out)["notes"]
    assert len(notes) == 2
    assert "laid on white" in notes[0]
    assert "too long" in notes[1]
    assert all(f"note: {note}\n" in err for note in notes)


@pytest.mark.parametrize(
    "words",
    [
        ["--sweep", "--each"],
        ["--sweep", "--num", "2"],
        ["another", "--sweep"],
        ["--num", "0"],
        ["--guidance-scale", "much"],
        ["--guidance-scale", "1,2"],
        ["--no-such-flag"],
    ],
)
def test_usage_errors_exit_2(run, picture, words):
    code, out, err = run(picture, "make it night", *words)
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def one_sentence(code: int, out: str, err: str) -> str:
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert (code, out, len(lines)) == (1, "", 1), (code, out, err)
    assert lines[0].startswith("overpaint: ")
    return lines[0]


def test_bad_pictures_are_one_sentence(run, tmp_path):
    (tmp_path / "text.png").write_text("I am no picture")
    Image.linear_gradient("L").save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.new("RGB", (3000, 9)).save(tmp_path / "strip.png")
    for source, says in {
        "missing.png": "no such file",
        "text.png": "not a picture",
        "cut.jpg": "damaged",
        "dot.png": "1 × 1",
        "strip.png": "too narrow",
        "http://127.0.0.1/cat.png": "127.0.0.1",
    }.items():
        assert says in one_sentence(*run(source, "make it night", "-o", "out.png"))
    assert not (tmp_path / "out.png").exists()


def test_bad_settings_are_one_sentence(run, picture, tmp_path):
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x04")
    (tmp_path / "file").write_text("not a folder")
    for words, says in (
        (["  "], "instruction is empty"),
        (["make it night", "--model", "no-such-model"], "there is no model 'no-such-model'"),
        (["make it night", "--model", "model.ckpt"], "is a pickle"),
        (["make it night", "--device", "cuda:7"], "--device cpu"),
        (["make it night", "--dtype", "int4"], "int4"),
        (["make it night", "-o", "file/out.png"], "file/out.png"),
        (["make it night", "-o", "out.xyz"], "out.xyz"),
    ):
        assert says in one_sentence(*run(picture, *words))


@pytest.mark.slow
def test_in_a_process_of_its_own(folder, picture, tmp_path):
    """Nothing but its words is on stderr, and no pipeline class is imported: these alone would
    double the time to the first picture."""
    words = ["edit", str(picture), "make it night", "--model", str(folder), "--steps", "2"]
    words += ["-o", str(tmp_path / "out.png"), "--json"]
    code = (
        f"import sys; from overpaint.cli import main; assert main({words!r}) == 0\n"
        "print([n for n in sys.modules if n.startswith('diffusers.pipelines.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed, pipelines = done.stdout.rstrip().rsplit("\n", 1)
    assert json.loads(printed)["output"] == str(tmp_path / "out.png")
    assert pipelines == "[]"
    said = done.stderr.splitlines()
    assert [line for line in said if not line.startswith(("editing: ", "note: "))] == []
