"""Whatever a stage was made from may not change in silence: a table of stage and input.

After a whole run one input changes. The same command then refuses, or makes anew, and says what
changed; it never says that there was nothing to do.
"""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from world import RECIPE, damage

from overpaint.cli import main
from overpaint.report.schema import Report

pytestmark = pytest.mark.slow

Captured = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class World:
    """A copy of the models and the finished run, in a place of its own."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "tiny.yaml"

    @property
    def run(self) -> Path:
        return self.folder / "moved"

    def rerun(self, *settings: str) -> int:
        words = [word for setting in settings for word in ("--set", setting)]
        return main(["run", str(self.recipe), "-o", str(self.run), *words])


@pytest.fixture
def world(recipe: Path, whole: Path, tmp_path: Path) -> World:
    """Moved and renamed, which changes nothing: a run does not know where it lies."""
    for name in ("drawing", "writer"):
        shutil.copytree(recipe.parent / name, tmp_path / name)
    shutil.copy(recipe.parent / "captions.txt", tmp_path)
    shutil.copytree(whole, tmp_path / "moved")
    (tmp_path / "tiny.yaml").write_text(RECIPE.format(folder=tmp_path))
    return World(tmp_path)


def flip(path: Path, at: float = 0.5) -> None:
    """Change one bit in the middle of a file: of safetensors the lowest of one weight."""
    content = bytearray(path.read_bytes())
    place = int(len(content) * at)
    content[place - place % 4] ^= 1
    path.write_bytes(content)


def weights(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def with_another_target(shard: Path) -> None:
    """One picture in the middle of a shard becomes another one: a whole file of other rows."""
    table = pq.read_table(shard)
    rows = table.to_pylist()
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(stream, format="PNG")
    rows[len(rows) // 2]["edited_image"] = {"bytes": stream.getvalue(), "path": None}
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), shard)


def shard_of(folder: Path) -> Path:
    """A shard with rows in it."""
    return next(p for p in sorted(folder.glob("data/*")) if pq.read_metadata(p).num_rows)


def reworded(path: Path) -> None:
    lines = path.read_text().splitlines()
    lines[len(lines) // 2] += " at noon"
    path.write_text("\n".join(lines) + "\n")


Change = Callable[[World], object]
TABLE: dict[str, tuple[str, Change]] = {
    "instruct × a caption": (
        "instruct changed captions was",
        lambda w: reworded(w.folder / "captions.txt"),
    ),
    "instruct × a weight of the writer": (
        "instruct changed writer.model was",
        lambda w: flip(weights(w.folder / "writer")),
    ),
    "instruct × the writer's tokenizer": (
        "instruct changed writer.model was",
        lambda w: (w.folder / "writer/tokenizer_config.json").write_text("{}"),
    ),
    "pairs × a triplet": (
        "is not what was written there",
        lambda w: flip(shard_of(w.run / "triplets")),
    ),
    "pairs × a weight of what draws": (
        "pairs changed parts.controlnet was",
        lambda w: flip(weights(w.folder / "drawing/unet"), 0.4),
    ),
    "pairs × a weight of the ControlNet": (
        "pairs changed parts.controlnet was",
        lambda w: flip(weights(w.folder / "drawing/controlnet")),
    ),
    "train × a picture": (
        "is not what was written there",
        lambda w: with_another_target(shard_of(w.run / "pairs")),
    ),
    "train × a byte of a shard": (
        "is not what was written there",
        lambda w: flip(shard_of(w.run / "pairs"), 0.3),
    ),
    "evaluate × a weight of the model": (
        "is not what was written there",
        lambda w: flip(weights(w.run / "model/unet")),
    ),
    "evaluate × a figure of the report": (
        "report.json is not what was written there",
        lambda w: (w.run / "report/report.json").write_text("{}"),
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_changed_input_is_refused_or_made_anew(world: World, case: str, capsys: Captured) -> None:
    sentence, change = TABLE[case]
    change(world)
    code = world.rerun()
    said = " ".join(capsys.readouterr().err.split())
    assert sentence in said
    assert "there was nothing to do" not in said
    if code == 0:  # made anew: only a report is
        assert "The report in" in said
        assert world.rerun() == 0
        assert "there was nothing to do" in capsys.readouterr().err
    else:
        assert code == 1
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("instruct.generate.top_p=0.8", "settings.top_p was 0.9 and is now 0.8"),
        ("pairs.dtype=bfloat16", "settings.dtype was float32 and is now bfloat16"),
        ("train.mixed_precision=bf16", "settings.mixed_precision was no and is now bf16"),
        ("evaluate.dtype=bfloat16", "dtype was float32 and is now bfloat16"),
    ],
)
def test_another_setting_or_number_format_is_told(
    world: World, setting: str, said: str, capsys: Captured
) -> None:
    code = world.rerun(setting)
    assert code == (0 if setting.startswith("evaluate") else 1)
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "setting", ["train.checkpoint_every=2", "instruct.generate.batch_size=3", "name=other"]
)
def test_what_does_not_bind_never_shows(world: World, setting: str, capsys: Captured) -> None:
    assert world.rerun(setting) == 0
    assert "there was nothing to do: every stage is done." in capsys.readouterr().err


def test_what_is_stored_last_is_stored_anew(world: World, capsys: Captured) -> None:
    """The scales that a model is stored with need no training."""
    steps = (world.run / "model.training/log.jsonl").read_bytes()
    assert world.rerun("train.guidance_scale=4.5") == 0
    assert json.loads((world.run / "model/overpaint.json").read_text())["guidance_scale"] == 4.5
    assert (world.run / "model.training/log.jsonl").read_bytes() == steps
    assert "The report in" in capsys.readouterr().err


def test_an_evaluation_tells_models_and_judges_by_their_content(
    world: World, capsys: Captured
) -> None:
    """Also two models of one name, and a judge that was replaced: never the old figures."""
    out = world.folder / "report"
    for name in ("judge", "a/model", "b/model"):
        source = world.folder / "drawing" if name == "judge" else world.run / "model"
        shutil.copytree(source, world.folder / name)
    middle = weights(world.folder / "b/model/unet")

    def figures(model: str) -> tuple[str, dict[str, float]]:
        words = ["--scenes", "3", "--size", "32", "--steps", "1", "-o", str(out)]
        words += ["--clip", str(world.folder / "judge")]
        assert main(["evaluate", str(world.folder / model), *words]) == 0
        report = Report.model_validate_json((out / "report.json").read_text())
        overall = report.models[0].scores["overall"]
        return capsys.readouterr().err, {name: one.mean for name, one in overall.items()}

    _, first = figures("a/model")
    again, same = figures("b/model")
    assert same == first  # another folder with the same weights
    assert "made again" not in again
    swap_two_weights(middle)
    said, other = figures("b/model")
    assert "models.model was" in said
    assert other["l2"] != first["l2"]
    swap_two_weights(weights(world.folder / "judge/clip"))
    said, judged = figures("b/model")
    assert "judges.clip was" in said
    assert judged["l2"] == other["l2"]
    assert judged["clip_image"] != other["clip_image"]
    assert figures("a/model")[1]["l2"] == first["l2"]


def swap_two_weights(path: Path) -> None:
    """Reverse one tensor in the middle of a file; its shape, and all others, stay."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    large = sorted(name for name, tensor in tensors.items() if tensor.numel() > 32)
    name = large[len(large) // 2]
    tensors[name] = tensors[name].flip(0).contiguous() + 0.05
    save_file(tensors, path)


def test_damage_anywhere_is_one_sentence_or_made_again(world: World, capsys: Captured) -> None:
    """Flips and cuts of every kind of file that a stage reads of the one before."""
    draw = random.Random(0)
    kinds = {
        "shard of triplets": "triplets/data/*.parquet",
        "tally": "triplets/tallies/*.json",
        "shard of pairs": "pairs/data/*.parquet",
        "origin": "*/origin.json",
        "weights": "model/*/*.safetensors",
        "configuration": "model/*/*.json",
        "report": "report/report.json",
    }
    for kind, pattern in kinds.items():
        for _ in range(2):
            path = draw.choice(sorted(world.run.glob(pattern)))
            whole = path.read_bytes()
            damage(path, draw)
            code = world.rerun()
            said = capsys.readouterr().err
            assert code in (0, 1), said
            assert "Traceback" not in said
            if code == 0 and path.read_bytes() != whole and kind != "report":
                # Nothing that a stage reads from it: the sum over a folder's tallies, say.
                assert kind == "tally", f"{path} was used as it was"
            path.write_bytes(whole)
    assert world.rerun() == 0
