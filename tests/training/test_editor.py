"""Training an editor: the loss is the paper's, the result is a stock pipeline."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from overpaint.cli import main
from overpaint.errors import UserError
from overpaint.files import name_aside
from overpaint.images import saved_metadata
from overpaint.models.train_rows import read_train_rows, stored_digest
from overpaint.shards import read_pairs
from overpaint.training.editor import load_base, split_rows, train_editor, work_folder
from overpaint.training.latents import precompute
from overpaint.training.log import read_log
from overpaint.training.loss import EditingLoss
from overpaint.training.micro_step import MicroStep
from overpaint.training.settings import TrainSettings
from tiny import LATENT_CHANNELS

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
UNET = {
    "block_out_channels": [16, 32],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}


def settings(**changes: object) -> TrainSettings:
    values: dict[str, object] = {
        "resolution": 32,
        "steps": 3,
        "batch_size": 4,
        "gradient_accumulation_steps": 2,
        "ema_decay": 0.9,
        "log_every": 1,
        "num_inference_steps": 2,
        "mixed_precision": "no",
    }
    return TrainSettings.model_validate({**values, **changes})


def test_the_loss_is_equation_2_with_dropout(
    tmp_path: Path, pairs_folder: Path, editing_base: Path
) -> None:
    """Against a transcription that goes sample by sample."""
    s = settings(conditioning_dropout=0.3, cache_dtype="float32")
    base, pairs = load_base(editing_base, s, CPU), read_pairs(pairs_folder)
    batches = precompute(pairs, "data", base, s, tmp_path)
    step = MicroStep(index=0, micro=0, accumulation=1, batch_size=8, seed=4)
    with torch.no_grad():
        got = EditingLoss(base, batches, torch.arange(len(pairs)), 0.3)(base.unet, step)["loss"]

    again = MicroStep(index=0, micro=0, accumulation=1, batch_size=8, seed=4)
    rows, u = again.rows(len(pairs)), again.uniform(5)
    noises, times = again.normal(2, LATENT_CHANNELS, 8, 8), again.integers(1000)
    errors = []
    for i, row in enumerate(rows.tolist()):
        flip = int(u[i, 0] < 0.5)
        moments = torch.tensor(batches.latents["moments"][row, flip])
        z0 = 0.5 * (moments[:8] + moments[8:] * noises[i, 0])
        a = float(base.scheduler.alphas_cumprod[times[i]])
        zt = math.sqrt(a) * z0 + math.sqrt(1 - a) * noises[i, 1]
        v = math.sqrt(a) * noises[i, 1] - math.sqrt(1 - a) * z0
        source = torch.tensor(batches.latents["picture"][row, flip])
        text = torch.tensor(batches.texts["text"][batches.text_of_row[row]])
        if u[i, 4] < 0.6:
            text = batches.empty["text"][0]
        if 0.3 <= u[i, 4] < 0.9:
            source = torch.zeros_like(source)
        with torch.no_grad():
            said = base.unet(torch.cat([zt, source])[None], times[i], text[None]).sample[0]
        errors.append(F.mse_loss(said, v))
    torch.testing.assert_close(got, torch.stack(errors).mean(), atol=1e-5, rtol=1e-4)


def test_a_text_to_image_parent_becomes_a_stock_editing_pipeline(
    tmp_path: Path, pairs_folder: Path, parent_base: Path
) -> None:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    out = train_editor(pairs_folder, parent_base, tmp_path / "model", settings())
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(out)
    assert pipeline.unet.config.in_channels == 2 * LATENT_CHANNELS
    learnt = pipeline.unet.conv_in.weight[:, LATENT_CHANNELS:]
    assert learnt.abs().max() > 0  # zero before training
    assert json.loads((out / "overpaint.json").read_text())["guidance_scale"] == 3.0
    rows = read_train_rows(out)
    assert rows is not None
    stored = [stored_digest(row, pairs_folder) for row in read_pairs(pairs_folder)]
    held_out = split_rows(len(stored), settings())[1]
    assert rows == {digest for i, digest in enumerate(stored) if i not in held_out}
    work = work_folder(out)
    log = read_log(work / "log.jsonl")
    assert [line["step"] for line in log if "loss" in line] == [1, 2, 3]
    assert log[-1]["validation_mse_of_input"] > 0
    sheet = json.loads(saved_metadata(work / "sheets/step-0000003.png")["overpaint"])
    assert sheet["step"] == 3
    assert "--guidance-scale" in sheet["options"]
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".pt", ".pkl", ".bin", ".pth")]


def test_from_scratch_and_again(tmp_path: Path, pairs_folder: Path, parts_base: Path) -> None:
    s = settings(unet=UNET, precompute=False, random_crop=True, resize_up_to=40)
    out = train_editor(pairs_folder, parts_base, tmp_path / "model", s)
    weights = out / "unet/diffusion_pytorch_model.safetensors"
    before = weights.read_bytes()
    train_editor(pairs_folder, parts_base, tmp_path / "model", s)  # finished: trains no more
    assert weights.read_bytes() == before
    shutil.rmtree(out)
    train_editor(pairs_folder, parts_base, tmp_path / "model", s)  # from its checkpoint
    assert weights.read_bytes() == before


def test_gradient_checkpointing_changes_no_result(
    tmp_path: Path, pairs_folder: Path, editing_base: Path
) -> None:
    saved = []
    for on in (True, False):
        s = settings(gradient_checkpointing=on, save_dtype="float32", validation_pairs=0)
        out = train_editor(pairs_folder, editing_base, tmp_path / str(on), s, tmp_path / "cache")
        saved.append(load_base(out, s, CPU).unet)
    for a, b in zip(saved[0].parameters(), saved[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_what_training_cuts_or_lacks_is_said(
    tmp_path: Path, editing_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    from overpaint.rows import Pair, pair_features
    from overpaint.shards import write_shard

    picture = Image.new("RGB", (32, 32))
    long = ["make it red " * 40, "make it blue " * 40]
    common = {"original_prompt": "a", "edited_prompt": "b"}
    common |= {"original_image": picture, "edited_image": picture}
    rows = [Pair(edit_prompt=text, **common).to_row() for text in [*long, *long, "short"]]
    write_shard(tmp_path / "pairs", 0, 1, rows, pair_features())
    few = settings(steps=1, validation_pairs=2)
    train_editor(tmp_path / "pairs", editing_base, tmp_path / "out", few)
    said = capsys.readouterr().err
    assert "note: the instruction 'make it red make it red" in said
    assert said.count("is too long: the model reads its first") == 2
    assert "note: 5 pairs are too few to keep one in ten for validation" in said


def test_leftovers_of_a_kill_in_the_final_save_are_swept(
    tmp_path: Path, pairs_folder: Path, editing_base: Path
) -> None:
    few = settings(steps=1, validation_pairs=0)
    out = tmp_path / "model"
    for left in (name_aside(out), name_aside(work_folder(out) / "log.jsonl")):
        left.mkdir(parents=True)
        (left / "half").write_text("...")
    train_editor(pairs_folder, editing_base, out, few)
    names = [path.name for path in tmp_path.rglob(".*") if path.name != ".lock"]
    assert names == []
    assert (out / "model_index.json").is_file()


def test_a_few_rows_are_held_out_of_training() -> None:
    rows, held_out = split_rows(100, settings())
    assert len(held_out) == 4
    assert sorted([*rows.tolist(), *held_out]) == list(range(100))
    assert split_rows(9, settings())[1] == []


def test_clipping_of_latents_is_turned_off(tmp_path: Path, editing_base: Path) -> None:
    folder = shutil.copytree(editing_base, tmp_path / "clips")
    path = folder / "scheduler/scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "clip_sample": True}))
    base = load_base(folder, settings(), CPU)
    assert base.scheduler.config.clip_sample is False
    assert base.scheduler.config.prediction_type == "v_prediction"


def test_what_does_not_fit_is_one_sentence(
    tmp_path: Path, pairs_folder: Path, editing_base: Path, parts_base: Path
) -> None:
    with pytest.raises(UserError, match="multiple of 8"):
        load_base(editing_base, settings(resolution=36), CPU)
    with pytest.raises(UserError, match="unexpected keyword argument 'colour'"):
        load_base(parts_base, settings(unet={"colour": 1}), CPU)
    with pytest.raises(UserError, match=r"train\.unet\.in_channels is 5"):
        load_base(parts_base, settings(unet={"in_channels": 5}), CPU)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/thesis.txt").touch()
    with pytest.raises(UserError, match="exists already"):
        train_editor(pairs_folder, editing_base, tmp_path / "taken", settings())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no scheduler folder"):
        load_base(tmp_path / "empty", settings(unet=UNET), CPU)


def test_the_command_trains_and_tells(
    tmp_path: Path, pairs_folder: Path, parts_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    block = settings().model_dump(exclude_defaults=True, mode="json") | {"unet": UNET}
    others = {"instruct": {"anything": 1}, "seed": 9}
    recipe.write_text(json.dumps({"name": "small", "train": block, **others}))
    words = ["train", "--pairs", str(pairs_folder), "--model", str(parts_base)]
    words += ["-o", str(tmp_path / "m"), "--recipe", str(recipe), "--set", "steps=2", "--json"]
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["steps"] == 2
    assert report["samples"] == 16
    assert report["loss"] > 0
    assert (
        json.loads((tmp_path / "m.training/origin.json").read_text())["origin"]["settings"]["seed"]
        == 9
    )
    assert main([*words, "--set", "stepps=2"]) == 1
    assert "did you mean" in capsys.readouterr().err
    assert main([*words, "--set", "steps=5"]) == 1
    assert "steps was 2 and is now 5" in capsys.readouterr().err
