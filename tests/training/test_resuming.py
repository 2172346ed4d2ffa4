"""A run that was stopped ends in the same bytes as one that was not."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from toy import checksum, toy_loss, toy_model, toy_settings, train_into

from overpaint.errors import UserError
from overpaint.training.checkpoints import list_checkpoints
from overpaint.training.log import read_log
from overpaint.training.loop import fit
from processes import started


class Stop(Exception):
    """Stands for a power cut."""


def stopping_at(step_index: int, micro: int):
    def loss(model, step):
        if (step.index, step.micro) == (step_index, micro):
            raise Stop
        return toy_loss(model, step)

    return loss


def lines_without_time(out: Path) -> list[dict]:
    timed = "samples_per_second"
    return [{k: v for k, v in x.items() if k != timed} for x in read_log(out / "log.jsonl")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[str, list[dict]]:
    """Checksum and log of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    return checksum(fit(toy_model(), toy_loss, toy_settings(), out)), lines_without_time(out)


def test_stops_at_random_steps_change_no_byte_and_no_line(tmp_path, whole) -> None:
    draw = random.Random(0)
    for _ in range(6):
        at = draw.randrange(30), draw.randrange(2)
        try:
            fit(toy_model(), stopping_at(*at), toy_settings(), tmp_path)
        except Stop:
            continue
    model = fit(toy_model(), toy_loss, toy_settings(), tmp_path)
    assert checksum(model) == whole[0]
    assert lines_without_time(tmp_path) == whole[1]
    steps = [line["step"] for line in whole[1]]
    assert steps == [4, 8, 12, 16, 20, 24, 28, 30]


def test_how_often_it_is_saved_does_not_matter(tmp_path, whole) -> None:
    settings = toy_settings(checkpoint_every=1, keep_checkpoints=1)
    with pytest.raises(Stop):
        fit(toy_model(), stopping_at(17, 1), settings, tmp_path)
    assert [p.name for p in list_checkpoints(tmp_path / "checkpoints")] == ["step-0000017"]
    assert checksum(fit(toy_model(), toy_loss, toy_settings(), tmp_path)) == whole[0]


def test_a_finished_run_does_nothing(tmp_path, whole) -> None:
    fit(toy_model(), toy_loss, toy_settings(), tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    model = fit(toy_model(), stopping_at(0, 0), toy_settings(), tmp_path)
    assert checksum(model) == whole[0]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")} == before


def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, whole, capsys) -> None:
    with pytest.raises(Stop):
        fit(toy_model(), stopping_at(16, 0), toy_settings(), tmp_path)
    newest = list_checkpoints(tmp_path / "checkpoints")[-1]
    weights = newest / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit of a weight: a valid file with other numbers
    weights.write_bytes(content)
    assert checksum(fit(toy_model(), toy_loss, toy_settings(), tmp_path)) == whole[0]
    assert "damaged" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [(0, 0), (8, 1), (29, 1)])
def test_a_signal_lets_the_step_finish_and_a_checkpoint_be_written(
    tmp_path, whole, number, at
) -> None:
    """In the middle of a step the weights would be of no use."""

    def loss(model, step):
        if (step.index, step.micro) == at:
            os.kill(os.getpid(), number)
        return toy_loss(model, step)

    def handle(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(number, handle)
    try:
        with pytest.raises(KeyboardInterrupt) as stop:
            fit(toy_model(), loss, toy_settings(), tmp_path)
        assert signal.getsignal(number) is handle
    finally:
        signal.signal(number, before)
    (said,) = stop.value.__notes__
    assert said.startswith(f"train: step {at[0] + 1} of 30 is done and kept in a checkpoint")
    assert list_checkpoints(tmp_path / "checkpoints")[-1].name == f"step-{at[0] + 1:07d}"
    assert checksum(fit(toy_model(), toy_loss, toy_settings(), tmp_path)) == whole[0]
    assert lines_without_time(tmp_path) == whole[1]


def test_ctrl_c_that_is_ignored_stays_ignored(tmp_path, whole) -> None:
    def loss(model, step):
        os.kill(os.getpid(), signal.SIGINT)
        return toy_loss(model, step)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a background job
    try:
        assert checksum(fit(toy_model(), loss, toy_settings(), tmp_path)) == whole[0]
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_goes_on_with_the_number_of_threads_that_it_began_with(tmp_path) -> None:
    seen = []

    def loss(model, step):
        seen.append(torch.get_num_threads())
        if len(seen) == 20:
            raise Stop
        return toy_loss(model, step)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with pytest.raises(Stop):
            fit(toy_model(), loss, toy_settings(), tmp_path)
        torch.set_num_threads(1)
        fit(toy_model(), loss, toy_settings(), tmp_path)
        assert set(seen) == {3}
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_only_damaged_checkpoints_are_an_error(tmp_path) -> None:
    with pytest.raises(Stop):
        fit(toy_model(), stopping_at(8, 0), toy_settings(), tmp_path)
    for path in tmp_path.glob("checkpoints/*/optimizer.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="every checkpoint"):
        fit(toy_model(), toy_loss, toy_settings(), tmp_path)


def test_left_overs_of_a_killed_write_are_removed(tmp_path, whole) -> None:
    with pytest.raises(Stop):
        fit(toy_model(), stopping_at(2, 0), toy_settings(), tmp_path)
    (tmp_path / "checkpoints/.step-0000007.0a1b2c3d").mkdir(parents=True)
    assert checksum(fit(toy_model(), toy_loss, toy_settings(), tmp_path)) == whole[0]
    assert not list(tmp_path.glob("checkpoints/.*"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 2e-2}, "learning_rate was 0.01 and is now 0.02"),
        ({"steps": 31}, "steps was 30 and is now 31"),
        ({"seed": 4}, "seed was 3 and is now 4"),
    ],
)
def test_another_configuration_is_refused(tmp_path, changes, words) -> None:
    with pytest.raises(Stop):
        fit(toy_model(), stopping_at(16, 0), toy_settings(), tmp_path)
    with pytest.raises(UserError, match=words):
        fit(toy_model(), toy_loss, toy_settings(**changes), tmp_path)


def test_other_data_or_another_model_is_refused(tmp_path) -> None:
    with pytest.raises(Stop):
        fit(toy_model(), stopping_at(16, 0), toy_settings(), tmp_path, describe={"data": "a"})
    with pytest.raises(UserError, match="data was a and is now b"):
        fit(toy_model(), toy_loss, toy_settings(), tmp_path, describe={"data": "b"})
    with pytest.raises(UserError, match=r"0\.weight"):
        fit(torch.nn.Linear(8, 1), toy_loss, toy_settings(), tmp_path, describe={"data": "a"})


def test_two_runs_never_share_a_folder(tmp_path) -> None:
    def loss(model, step):
        with pytest.raises(UserError, match="another process"):
            fit(toy_model(), toy_loss, toy_settings(), tmp_path)
        raise Stop

    with pytest.raises(Stop):
        fit(toy_model(), loss, toy_settings(), tmp_path)
    fit(toy_model(), toy_loss, toy_settings(), tmp_path)


@pytest.mark.slow
def test_sigkill_at_any_moment_changes_no_byte(tmp_path) -> None:
    whole, killed, result = (tmp_path / name for name in ("whole", "killed", "result"))
    started(train_into, str(whole), str(result)).join()
    want = result.read_text()
    draw = random.Random(1)
    kills = 0
    while kills < 3:
        result.unlink(missing_ok=True)
        process = started(train_into, str(killed), str(result))
        step = _newest(killed)
        while process.is_alive() and _newest(killed) < step + 30:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.1))
        process.kill()
        process.join()
        if process.exitcode == 0:
            shutil.rmtree(killed)  # it was too quick: nothing was killed
            continue
        assert process.exitcode == -signal.SIGKILL
        kills += 1
    started(train_into, str(killed), str(result)).join()
    assert result.read_text() == want


def _newest(out: Path) -> int:
    found = list_checkpoints(out / "checkpoints")
    return int(found[-1].name[5:]) if found else 0
