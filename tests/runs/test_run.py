"""`overpaint run`: from nothing to a report, once; stopped anywhere, the same bytes."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import yaml

from overpaint.cli import main
from overpaint.digests import digest
from overpaint.models.names import NANO
from overpaint.models.origin import clip_origin, model_origin
from overpaint.recipe import read_recipe
from overpaint.runs.stages import BLOCKS
from processes import run_command, started

pytest.importorskip("llguidance", reason="needs the extra llm")

pytestmark = pytest.mark.slow

Captured = pytest.CaptureFixture[str]
MADE = ("triplets", "pairs")


def hashes(folder: Path) -> list[str]:
    return [digest(folder / name / "data") for name in MADE]


def plan_of(said: str) -> dict[str, str]:
    """Stage → state, from what a run said."""
    lines = said.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("stage "))
    return {line[:10].strip(): line[10:21].strip() for line in lines[at + 1 : at + 5]}


def test_a_run_ends_with_a_report_and_a_second_one_has_nothing_to_do(
    recipe: Path, whole: Path, capsys: Captured
) -> None:
    files = {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()}
    assert main(["run", str(recipe), "-o", str(whole)]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == (whole / "report/report.html").resolve().as_uri()
    assert "there was nothing to do: every stage is done." in err
    assert plan_of(err) == dict.fromkeys(BLOCKS, "done")
    changed = {p for p, at in files.items() if p.stat().st_mtime_ns != at}
    assert {p.name for p in changed} <= {".lock"}


def test_the_lock_says_what_was_made_of_what(recipe: Path, whole: Path) -> None:
    lock = yaml.safe_load((whole / "recipe.lock.yaml").read_text())
    assert lock["recipe"]["train"]["steps"] == 4
    assert lock["recipe"]["train"]["seed"] == lock["recipe"]["seed"] == 3
    assert lock["versions"]["overpaint"]
    stages = lock["stages"]
    assert list(stages) == list(BLOCKS)
    assert [stages[name]["sha256"] for name in ("instruct", "pairs")] == hashes(whole)
    assert stages["train"]["origin"]["pairs"] == stages["pairs"]["sha256"]
    assert stages["train"]["origin"]["base"] == digest(recipe.parent / "drawing")
    assert stages["evaluate"]["origin"]["models"] == {"model": stages["train"]["sha256"]}
    assert stages["instruct"]["made"].endswith("wanted")
    again = whole.parent / "again.yaml"
    again.write_text(yaml.safe_dump(lock["recipe"]))
    assert read_recipe(again, BLOCKS) == read_recipe(recipe, BLOCKS)


def test_killed_in_any_stage_and_rerun_the_same_bytes(
    recipe: Path, whole: Path, tmp_path: Path, capsys: Captured
) -> None:
    folder = tmp_path / "killed"
    moments = {
        "triplets/data/*.parquet": signal.SIGKILL,
        "pairs/data/*.parquet": signal.SIGKILL,
        "model.training/checkpoints/step-*": signal.SIGINT,
        "report/report.schema.json": signal.SIGKILL,
    }
    for pattern, with_signal in moments.items():
        code, said = stop_at(["run", str(recipe), "-o", str(folder)], folder, pattern, with_signal)
        assert code in (-signal.SIGKILL, 130, 0), said
        if code == 130:
            assert "the same command goes on" in said
        assert in_order(plan_of(said)), said
    assert main(["run", str(recipe), "-o", str(folder)]) == 0
    assert hashes(folder) == hashes(whole)
    assert digest(folder / "model") == digest(whole / "model")
    capsys.readouterr()


def in_order(states: dict[str, str]) -> bool:
    """Whether no stage had begun before the one in front of it was done."""
    begun = [state for state in states.values() if state != "to do"]
    return set(begun[:-1]) <= {"done"} and [*states.values()][: len(begun)] == begun


def stop_at(words: list[str], folder: Path, pattern: str, with_signal: int) -> tuple[int, str]:
    """Run a command in a process, stop it when it has said its plan and a file is there (from an
    earlier run, perhaps: on a busy machine its kill came late); its exit code and stderr."""
    log = folder.with_name("stderr.txt")
    log.unlink(missing_ok=True)
    process = started(run_command, words, str(log))
    while process.is_alive() and not (_has_plan(log) and any(folder.glob(pattern))):
        time.sleep(0.003)
    if process.is_alive() and process.pid:
        os.kill(process.pid, with_signal)
    process.join()
    assert process.exitcode is not None
    return process.exitcode, log.read_text()


def _has_plan(log: Path) -> bool:
    return log.exists() and "\nevaluate " in log.read_text()


def test_one_stage_alone_needs_its_input(recipe: Path, tmp_path: Path, capsys: Captured) -> None:
    words = ["run", str(recipe), "-o", str(tmp_path / "run"), "--only"]
    assert main([*words, "train"]) == 1
    assert "train reads" in (said := capsys.readouterr().err)
    assert "is not finished" in said
    alone = ["--set", "instruct=null", "--only", "pairs"]
    assert main([*words[:-1], *alone]) == 1
    assert "triplets, which is not there: bring it there" in capsys.readouterr().err
    assert main([*words, "instruct", "--json"]) == 0
    out, _ = capsys.readouterr()
    assert list(json.loads(out)["made"]) == ["instruct"]
    assert {p.name for p in (tmp_path / "run").iterdir() if p.name[0] != "."} == {
        *("triplets", "recipe.lock.yaml"),
    }


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.model=nowhere", "there is no model 'nowhere'"),
        ("train.model=null", "set train.model"),
        ("train.mixed_precision=fp16", "fp16 needs a GPU"),
        ("pairs.controlnet=nowhere", "'nowhere'"),
        ("pairs.num_inference_steps=2000", "2000 steps do not work"),
        ("evaluate.against=[nowhere]", "there is no model 'nowhere'"),
        ("evaluate.picture=nowhere.png", "nowhere.png"),
        ("instruct.model=nowhere", "there is no language model 'nowhere'"),
        ("instruct.captions=nowhere.txt", "there is no file or folder nowhere.txt"),
        ("instruct.data=nowhere.txt", "nowhere.txt"),
        ("pairs.steps=3", "pairs.steps (--set pairs.steps=3) is no known key"),
        ("train.steps=many", "train.steps (--set train.steps=many): input should be a valid int"),
        ("evaluate=null", "has no block `evaluate:`"),
        ("workers=2", "workers (--set workers=2): the local engine is one process"),
    ],
)
def test_what_cannot_work_is_one_sentence_before_the_first_stage(
    recipe: Path, tmp_path: Path, setting: str, sentence: str, capsys: Captured
) -> None:
    assert main(["run", str(recipe), "-o", str(tmp_path / "run"), "--set", setting]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("overpaint: ")
    assert sentence in last
    assert not list(tmp_path.glob("run/[a-z]*"))


def test_a_key_of_the_file_is_named_with_its_line(
    recipe: Path, tmp_path: Path, capsys: Captured
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(recipe.read_text().replace("  resolution: 32\n", "  resolutoin: 32\n", 1))
    assert main(["run", str(broken)]) == 1
    assert "pairs.resolutoin (line 19) is no known key, did you mean resolution?" in (
        capsys.readouterr().err
    )


def test_other_settings_are_refused_and_free_ones_go_on(
    recipe: Path, whole: Path, capsys: Captured
) -> None:
    before = hashes(whole)
    words = ["run", str(recipe), "-o", str(whole), "--set"]
    assert main([*words, "train.steps=5"]) == 1
    said = capsys.readouterr().err
    assert "changed    settings.steps was 4 and is now 5" in said
    assert "was made from something else" in said.splitlines()[-1]
    lock = (whole / "recipe.lock.yaml").read_text()
    assert yaml.safe_load(lock)["recipe"]["train"]["steps"] == 4  # what was refused made nothing
    assert main([*words, "train.checkpoint_every=2"]) == 0
    assert main([*words, "train.checkpoint_every=2"]) == 0
    assert "there was nothing to do" in capsys.readouterr().err
    assert hashes(whole) == before


def test_captions_of_scenes_are_written_by_seed(tmp_path: Path) -> None:
    from overpaint.instruct.settings import InstructSettings
    from overpaint.instruct.sources import find_captions

    texts = []
    for count, seed in ((20, 1), (20, 1), (10, 1), (20, 2)):
        path = find_captions(InstructSettings(scenes=count, seed=seed), tmp_path / "triplets")
        texts.append(Path(path).read_text().splitlines())
    assert texts[0] == texts[1]
    assert texts[0][:10] == texts[2]
    assert texts[0] != texts[3]
    assert len(set(texts[0])) == 20


def test_a_writer_is_fine_tuned_first_where_there_is_data(
    recipe: Path, tmp_path: Path, capsys: Captured
) -> None:
    pytest.importorskip("trl", reason="needs the extra llm")
    triplet = {"input": "a dog on the beach", "edit": "make it a cat", "output": "a cat on a beach"}
    data = tmp_path / "triplets.jsonl"
    data.write_text("".join(f"{json.dumps({**triplet, 'input': f'{n} dogs'})}\n" for n in range(6)))
    words = ["run", str(recipe), "-o", str(tmp_path / "run"), "--only", "instruct"]
    words += ["--set", f"instruct.data={data}", "--set", "instruct.finetune.max_steps=1"]
    words += ["--set", "instruct.finetune.warmup_steps=0", "--set", "instruct.finetune.held_out=0"]
    assert main(words) == 0
    row = json.loads((tmp_path / "run/triplets/summary.json").read_text())
    assert row["model"] == "writer"
    assert (tmp_path / "run/writer/adapter_config.json").is_file()
    assert main(words) == 0
    assert "there was nothing to do: instruct is done." in capsys.readouterr().err
    data.write_text(data.read_text().replace("beach", "street"))
    assert main(words) == 1
    assert "changed    triplets was " in capsys.readouterr().err


SHIPPED = ("nano", "sd15", "paper")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_recipes_are_whole(root: Path, name: str) -> None:
    recipe = read_recipe(root / "recipes" / f"{name}.yaml", BLOCKS)
    assert recipe.name == name
    for block, kind in BLOCKS.items():
        recipe.block(block, kind)


def test_the_recipes_have_the_figures_of_their_sources(root: Path) -> None:
    mission = read_recipe(root / "recipes/sd15.yaml", BLOCKS).model_dump()
    assert mission["pairs"]["seed"] == 20230330
    assert mission["pairs"]["controlnet_conditioning_scales"] == (0.15, 0.18, 0.2, 0.25, 0.3)
    train = mission["train"]
    assert (train["steps"], train["batch_size"] * train["gradient_accumulation_steps"]) == (
        300,
        128,
    )
    paper = read_recipe(root / "recipes/paper.yaml", BLOCKS).model_dump()
    assert (paper["pairs"]["candidates"], paper["pairs"]["keep"]) == (100, 4)
    train = paper["train"]
    assert train["batch_size"] * train["gradient_accumulation_steps"] == 1024


def test_what_the_package_carries_is_known_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a folder is called `nano`: an upgrade of the weights must be noticed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nano").mkdir()
    assert model_origin("nano") == model_origin("nano-text-to-image") == digest(NANO)
    assert clip_origin("nano") == f"{digest(NANO / 'clip')} {digest(NANO / 'tokenizer')}"
