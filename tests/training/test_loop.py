"""What one run does: accumulation, clipping, precision, metrics, errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from overpaint.errors import UserError
from overpaint.training import log as log_module
from overpaint.training.log import JsonLog, Log, read_log
from overpaint.training.loop import fit

sys.path.insert(0, str(Path(__file__).parent))
from toy import checksum, plain_model, toy_loss, toy_model, toy_settings


def test_two_micro_batches_are_one_batch(tmp_path) -> None:
    split = toy_settings(batch_size=8, gradient_accumulation_steps=2)
    joined = toy_settings(batch_size=16, gradient_accumulation_steps=1)
    a = fit(plain_model(), toy_loss, split, tmp_path / "a")
    b = fit(plain_model(), toy_loss, joined, tmp_path / "b")
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-4)


def test_the_loop_is_adamw_by_hand(tmp_path) -> None:
    settings = toy_settings(steps=5, gradient_accumulation_steps=1, ema_decay=None, warmup_steps=0)
    got = fit(plain_model(), toy_loss, settings, tmp_path)
    model = plain_model()
    from overpaint.diffusion.schedules import lr_multiplier
    from overpaint.training.micro_step import MicroStep

    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.999), weight_decay=0.01)
    for index in range(5):
        optimizer.param_groups[0]["lr"] = 1e-2 * lr_multiplier("cosine", index, 5)
        step = MicroStep(index=index, micro=0, accumulation=1, batch_size=4, seed=3)
        toy_loss(model, step)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    for x, y in zip(got.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(x, y)


def test_the_loss_falls_and_every_metric_is_logged(tmp_path) -> None:
    fit(toy_model(), toy_loss, toy_settings(steps=120, warmup_steps=0), tmp_path)
    log = read_log(tmp_path / "log.jsonl")
    assert log[-1]["loss"] < 0.3 * log[0]["loss"]
    assert {"step", "loss", "largest", "grad_norm", "lr", "samples_per_second"} <= set(log[0])


def test_validation_sees_the_average_and_leaves_no_trace(tmp_path) -> None:
    seen = []

    def validate(model, step):
        assert not model.training
        assert not torch.is_grad_enabled()
        torch.rand(3)  # careless with the global stream
        seen.append((step, checksum(model)))
        return {"score": step / 10}

    settings = toy_settings(validate_every=10)
    with_it = fit(toy_model(), toy_loss, settings, tmp_path / "a", validate=validate)
    without = fit(toy_model(), toy_loss, settings, tmp_path / "b")
    assert checksum(with_it) == checksum(without)
    assert [s for s, _ in seen] == [10, 20, 30]
    assert seen[-1][1] == checksum(with_it)  # what fit returns
    scores = [x["score"] for x in read_log(tmp_path / "a/log.jsonl") if "score" in x]
    assert scores == [1, 2, 3]


def test_frozen_weights_stay(tmp_path) -> None:
    model = plain_model()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    fit(model, toy_loss, toy_settings(), tmp_path)
    assert torch.equal(model[0].weight, before)


def test_nan_names_its_step_and_saves_nothing_poisoned(tmp_path) -> None:
    def loss(model, step):
        values = toy_loss(model, step)
        return {"loss": values["loss"] * (float("nan") if step.index == 8 else 1.0)}

    with pytest.raises(UserError, match="at step 9"):
        fit(toy_model(), loss, toy_settings(log_every=100, checkpoint_every=3), tmp_path)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-0000003", "step-0000006"]


@pytest.mark.parametrize("setting", [{"mixed_precision": "bf16"}, {"channels_last": True}])
def test_other_ways_to_compute_learn_the_same(tmp_path, setting) -> None:
    model = fit(plain_model(), toy_loss, toy_settings(**setting), tmp_path / "a")
    plain = fit(plain_model(), toy_loss, toy_settings(), tmp_path / "b")
    for x, y in zip(model.parameters(), plain.parameters(), strict=True):
        assert x.dtype == torch.float32
        torch.testing.assert_close(x, y, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(("precision", "fused"), [("bf16", False), ("no", True)])
def test_bfloat16_on_the_cpu_takes_the_plain_attention(tmp_path, precision, fused) -> None:
    seen = set()

    def loss(model, step):
        seen.add(torch.backends.cuda.flash_sdp_enabled())
        return toy_loss(model, step)

    fit(
        plain_model(),
        loss,
        toy_settings(steps=1, warmup_steps=0, mixed_precision=precision),
        tmp_path,
    )
    assert seen == {fused}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has fp16")
def test_fp16_on_the_cpu_is_refused_in_words(tmp_path) -> None:
    with pytest.raises(UserError, match="needs a GPU"):
        fit(toy_model(), toy_loss, toy_settings(mixed_precision="fp16"), tmp_path)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="warmup_steps"):
        toy_settings(steps=10, warmup_steps=10)
    with pytest.raises(ValidationError, match="batchsize"):
        toy_settings(batchsize=3)


def test_a_torn_line_goes_when_the_log_is_cut_back(tmp_path) -> None:
    log = JsonLog(tmp_path)
    for step in (2, 4, 6):
        log.write(step, {"loss": 1.0})
    with log.path.open("a") as stream:
        stream.write('{"step": 8, "lo')
    log.truncate(4)
    assert log.path.read_text() == '{"step": 2, "loss": 1.0}\n{"step": 4, "loss": 1.0}\n'


@pytest.mark.slow
def test_two_processes_are_one(tmp_path) -> None:
    """Over the network device of this machine only: the same weights as one process."""
    toy = str(Path(__file__).parent / "toy.py")
    arguments = ["12", "plain=true", "batch_size=4", "warmup_steps=2"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, *launch, toy, str(tmp_path / "two"), *arguments],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    # What they computed counts, not how they ended: gloo may abort a process that is done.
    assert len(set(ended.stdout.split())) == 1, ended.stderr
    model = plain_model()
    changes = {"plain": None, "batch_size": 4, "warmup_steps": 2, "steps": 12}
    changes.pop("plain")
    one = fit(model, toy_loss, toy_settings(**changes), tmp_path / "one")
    from overpaint.training.checkpoints import read_newest

    newest = read_newest(tmp_path / "two/checkpoints")
    assert newest is not None
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(newest.parts["ema"][name], tensor, atol=1e-5, rtol=1e-4)
    steps = [line["step"] for line in read_log(tmp_path / "two/log.jsonl")]
    assert steps == [4, 8, 12]


def test_another_tracker_sees_the_same_metrics(tmp_path, monkeypatch) -> None:
    class Seen:
        def __init__(self, folder: Path) -> None:
            self.calls: list[tuple[object, ...]] = []
            found.append(self)

        def truncate(self, step: int) -> None:
            self.calls.append(("truncate", step))

        def write(self, step: int, metrics: dict[str, float]) -> None:
            self.calls.append((step, metrics))

        def flush(self) -> None:
            self.calls.append(("flush",))

    found: list[Seen] = []
    monkeypatch.setattr(log_module, "TRACKERS", (*log_module.TRACKERS, Seen))
    log = Log(tmp_path)
    log.truncate(0)
    log.write(1, {"loss": 0.5})
    log.flush()
    assert found[0].calls == [("truncate", 0), (1, {"loss": 0.5}), ("flush",)]
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1, "loss": 0.5}]
