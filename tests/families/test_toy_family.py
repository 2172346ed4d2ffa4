"""A family that is one file and one line in the registry edits, is measured, and is trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_family
from PIL import Image

from overpaint.cli import main
from overpaint.editing import Editor, EditRequest
from overpaint.errors import UserError
from overpaint.families import FAMILIES, family_of_base, load_editor
from overpaint.rows import Pair, pair_features
from overpaint.sampler import SamplerSettings
from overpaint.shards import write_shard
from overpaint.training.latents import Batch
from overpaint.training.loop import fit
from overpaint.training.loss import EditingLoss
from overpaint.training.micro_step import MicroStep
from overpaint.training.settings import LoopSettings, TrainSettings
from overpaint.training.validation import ValidationSheets

PICTURE = Image.linear_gradient("L").resize((40, 30)).convert("RGB")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(FAMILIES, toy_family.CLASS, "toy_family")
    return toy_family.build(tmp_path / "toy")


def test_it_edits(folder: Path) -> None:
    editor = Editor.from_pretrained(folder)
    requests = [
        EditRequest(PICTURE, "make it night", seed, SamplerSettings(num_inference_steps=steps))
        for seed, steps in ((0, 2), (1, 4), (2, 2))
    ]
    edits = editor.run(requests)
    assert [edit.image.size for edit in edits] == [(40, 30)] * 3
    assert edits[0].notes == ("a toy edits it",)
    assert len({edit.image.tobytes() for edit in edits}) == 3
    for request, edit in zip(requests, edits, strict=True):
        assert editor.run([request])[0].image.tobytes() == edit.image.tobytes()
    with pytest.raises(UserError, match="has no image_guidance_scale"):
        editor.edit(PICTURE, "make it night", image_guidance_scale=1.5)


def test_the_command_edits_with_it_and_makes_a_sheet(folder: Path, tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "in.png")
    out = tmp_path / "out"
    words = ["edit", str(tmp_path / "in.png"), "make it night", "--model", str(folder)]
    assert main([*words, "--num", "2", "-o", str(out)]) == 0
    assert len(list(out.glob("*.png"))) >= 2


def test_it_is_evaluated(folder: Path, tmp_path: Path) -> None:
    words = ["evaluate", str(folder), "--scenes", "3", "--clip", "none", "--dino", "none"]
    assert main([*words, "-o", str(tmp_path / "report")]) == 0
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert [len(model["cases"]["key"]) for model in report["models"]] == [3]


def test_the_command_trains_it(folder: Path, tmp_path: Path) -> None:
    rows = [
        Pair(
            original_prompt="a",
            edit_prompt=text,
            edited_prompt="b",
            original_image=PICTURE,
            edited_image=PICTURE.rotate(180),
        ).to_row()
        for text in ("turn it round", "make it night") * 6
    ]
    write_shard(tmp_path / "pairs", 0, 1, rows, pair_features())
    words = ["train", "--pairs", str(tmp_path / "pairs"), "--model", str(folder)]
    words += ["--resolution", "16", "--steps", "3", "--batch-size", "4"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    trained, before = load_editor(tmp_path / "out"), load_editor(folder)
    assert not torch.equal(trained.network.layer.weight, before.network.layer.weight)
    assert "3 steps" in (tmp_path / "out/README.md").read_text()
    assert Editor(trained).edit_each(PICTURE, ["turn it round"])[0].image.size == PICTURE.size


def test_a_family_without_a_base_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(toy_family, "load_base")
    with pytest.raises(UserError, match="cannot be trained"):
        family_of_base(folder)


class Pairs:
    """Batches of random pictures."""

    def __init__(self, model: toy_family.ToyModel) -> None:
        self.model = model

    def take(self, rows: torch.Tensor, u: torch.Tensor) -> Batch:
        pixels = torch.rand(2, len(rows), 3, 16, 16, generator=torch.Generator().manual_seed(0))
        texts = ["make it night"] * len(rows)
        return Batch(self.model.condition(pixels[0], texts), self.model.posterior(pixels[1]))


def test_it_is_trained_and_draws_its_sheets(folder: Path, tmp_path: Path) -> None:
    model = load_editor(folder)
    before = [weight.clone() for weight in model.network.parameters()]
    loss = EditingLoss(model, Pairs(model), torch.arange(8), 0.05)
    step = MicroStep(index=0, micro=0, accumulation=1, batch_size=4, seed=1)
    first = float(loss(model.network, step)["loss"].detach())
    train = TrainSettings(resolution=16, num_inference_steps=2)
    sheets = ValidationSheets([(PICTURE, PICTURE, "make it night")], model, train, tmp_path / "s")
    settings = LoopSettings(steps=20, batch_size=4, learning_rate=0.05, log_every=20)
    fit(model.network, loss, settings, tmp_path / "run", validate=sheets)
    after = float(loss(model.network, step)["loss"].detach())
    assert after < first
    assert any((a != b).any() for a, b in zip(before, model.network.parameters(), strict=True))
    with Image.open(tmp_path / "s/step-0000020.png") as sheet:
        assert np.asarray(sheet).std() > 0
