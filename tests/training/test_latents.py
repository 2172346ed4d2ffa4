"""The cache: the same numbers as encoding in the loop, never those of something else."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from overpaint.digests import digest
from overpaint.errors import UserError
from overpaint.models.encoding import decode, encode_mode, encode_texts, sample_target
from overpaint.models.fingerprints import hash_weights
from overpaint.rows import pair_features
from overpaint.shards import read_pairs, write_shard
from overpaint.training.cache import cached_arrays
from overpaint.training.editor import load_base
from overpaint.training.latents import Batch, EncodedBatches, precompute, read_pair
from overpaint.training.loss import EditingLoss
from overpaint.training.micro_step import MicroStep
from overpaint.training.settings import TrainSettings
from overpaint.training.validation import ValidationSheets

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def settings(**changes: object) -> TrainSettings:
    values = {"resolution": 32, "cache_dtype": "float32", "encode_batch_size": 5, "seed": 1}
    return TrainSettings.model_validate({**values, **changes})


@pytest.mark.parametrize("flip", [True, False])
def test_the_cache_gives_the_loss_of_encoding_in_the_loop(
    tmp_path: Path, pairs_folder: Path, editing_base: Path, flip: bool
) -> None:
    s = settings(random_flip=flip)
    base, pairs = load_base(editing_base, s, CPU), read_pairs(pairs_folder)
    rows = torch.arange(len(pairs))
    cached = precompute(pairs, "data", base, s, tmp_path)
    in_loop = EncodedBatches(pairs, base, s)
    for index in range(3):
        step = MicroStep(index=index, micro=0, accumulation=1, batch_size=8, seed=1)
        again = MicroStep(index=index, micro=0, accumulation=1, batch_size=8, seed=1)
        with torch.no_grad():
            a = EditingLoss(base, cached, rows, s.conditioning_dropout)(base.unet, step)["loss"]
            b = EditingLoss(base, in_loop, rows, s.conditioning_dropout)(base.unet, again)["loss"]
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def flat(batch: Batch) -> dict[str, torch.Tensor]:
    """All tensors of a batch."""
    return {**batch.condition, "moments": batch.moments}


def test_encoders_keep_their_format_inside_the_loop_s_autocast(
    pairs_folder: Path, editing_base: Path
) -> None:
    """In bfloat16 the latents were 1.3 % off."""
    s = settings(precompute=False)
    base, pairs = load_base(editing_base, s, CPU), read_pairs(pairs_folder)
    batches = EncodedBatches(pairs, base, s)
    rows, u = torch.arange(6), torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
    sheets = ValidationSheets([read_pair(pairs, 0)], base, s, pairs_folder)
    plain, sheet = flat(batches.take(rows, u)), sheets._pixels(0)
    edited = sheets._edit(base.unet, sheet, ["make it red"])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = flat(batches.take(rows, u))
        latents = decode(base, torch.ones_like(mixed["picture"]))
    for name, value in plain.items():
        assert torch.equal(value, mixed[name]), name
    assert torch.equal(latents, decode(base, torch.ones_like(mixed["picture"])))
    assert edited.dtype == np.float32


@pytest.mark.parametrize(
    "error", [OSError("cut"), PermissionError(13, "no", "a.png"), ValueError()]
)
def test_what_cannot_be_read_is_never_said_to_be_unwritable(
    tmp_path: Path, error: Exception
) -> None:
    def fill(rows: range) -> dict[str, np.ndarray]:
        raise error

    with pytest.raises(type(error)) as caught:
        cached_arrays(tmp_path, "a", {}, {"x": (4, 2)}, "float32", fill, chunk=2, title="x")
    assert caught.value is error


def test_a_broken_picture_of_a_pair_is_one_sentence(
    tmp_path: Path, pairs_folder: Path, editing_base: Path
) -> None:
    rows = list(read_pairs(pairs_folder))[:5]
    rows[3]["edited_image"]["bytes"] = rows[3]["edited_image"]["bytes"][:90]
    write_shard(tmp_path, 0, 1, rows, pair_features())
    s = settings()
    batches = EncodedBatches(read_pairs(tmp_path), load_base(editing_base, s, CPU), s)
    with pytest.raises(UserError, match=r"row 3 of .*, edited_image: the content is damaged"):
        batches.take(torch.tensor([3]), torch.zeros(1, 4))


def test_half_the_samples_are_mirrored_each_for_itself(
    tmp_path: Path, pairs_folder: Path, editing_base: Path
) -> None:
    s = settings()
    base, pairs = load_base(editing_base, s, CPU), read_pairs(pairs_folder)
    cached = precompute(pairs, "data", base, s, tmp_path)
    u = torch.tensor([[0.1, 0, 0, 0], [0.9, 0, 0, 0]])
    mirrored, plain = cached.take(torch.tensor([3, 3]), u).condition["picture"]
    assert torch.equal(mirrored, torch.tensor(cached.latents["picture"][3, 1]))
    assert torch.equal(plain, torch.tensor(cached.latents["picture"][3, 0]))
    assert not torch.equal(mirrored, plain)


def test_instructions_are_encoded_once_and_the_empty_one_is_first(
    tmp_path: Path, pairs_folder: Path, editing_base: Path
) -> None:
    s = settings()
    base, pairs = load_base(editing_base, s, CPU), read_pairs(pairs_folder)
    cached = precompute(pairs, "data", base, s, tmp_path)
    assert len(cached.texts["text"]) == 1 + len(set(pairs["edit_prompt"]))
    prompts = [pairs[i]["edit_prompt"] for i in (0, 7)]
    want = encode_texts(base, ["", *prompts])
    some = cached.take(torch.tensor([0, 7]), torch.zeros(2, 4)).condition
    torch.testing.assert_close(some["null_text"][1], want[""])
    for found, prompt in zip(some["text"], prompts, strict=True):
        torch.testing.assert_close(found, want[prompt], atol=1e-5, rtol=1e-5)


def test_other_data_or_another_network_has_another_cache(
    tmp_path: Path, pairs_folder: Path, editing_base: Path
) -> None:
    s = settings()
    base, pairs = load_base(editing_base, s, CPU), read_pairs(pairs_folder)

    def names() -> set[str]:
        precompute(pairs, data, base, s, tmp_path)
        return {p.name for p in tmp_path.iterdir()}

    data = digest(pairs_folder / "data")
    first = names()
    assert names() == first
    data = "other"
    assert len(names()) == 3
    with torch.no_grad():
        base.vae.encoder.conv_in.bias[0] += 1e-3
    assert len(names()) == 4
    with torch.no_grad():
        base.text_encoder.get_input_embeddings().weight[0, 0] += 1e-3
    assert len(names()) == 5


def test_a_filling_that_was_killed_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def fill(rows: range) -> dict[str, np.ndarray]:
        asked.append(rows.start)
        if rows.start == killed_at:
            raise Killed
        return {"x": np.array([[r, r * r] for r in rows], np.float32)}

    def run(folder: str) -> np.ndarray:
        return cached_arrays(
            tmp_path / folder, "name", {}, {"x": (10, 2)}, "float32", fill, chunk=3, title="x"
        )["x"]

    asked: list[int] = []
    killed_at = -1
    whole = run("a")
    for moment in (0, 6):
        killed_at = moment
        with pytest.raises(Killed):
            run("b")
    killed_at, asked = -1, []
    assert np.array_equal(run("b"), whole)
    assert asked == [6, 9]
    (one,), (two,) = ((tmp_path / name).glob("name-*/x.npy") for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    assert not list(tmp_path.glob("*/name-*/.done.json"))


@pytest.mark.parametrize("finished", [True, False])
def test_numbers_that_changed_on_the_disk_are_computed_again(
    tmp_path: Path, finished: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []
    stop_at = 9 if finished else 6

    def fill(rows: range) -> dict[str, np.ndarray]:
        if rows.start == stop_at and not finished:
            raise KeyboardInterrupt
        asked.append(rows.start)
        return {"x": np.array([[r, r * r] for r in rows], np.float32)}

    def run() -> np.ndarray:
        shapes = {"x": (10, 2)}
        return cached_arrays(tmp_path, "name", {}, shapes, "float32", fill, chunk=3, title="x")["x"]

    want = np.array([[r, r * r] for r in range(10)], np.float32)
    with contextlib.suppress(KeyboardInterrupt):
        assert np.array_equal(run(), want)
    (file,) = tmp_path.glob("name-*/x.npy")
    with file.open("r+b") as stream:  # one bit of row 4
        stream.seek(-(10 - 4) * 8, os.SEEK_END)
        byte = stream.read(1)[0]
        stream.seek(-(10 - 4) * 8, os.SEEK_END)
        stream.write(bytes([byte ^ 1]))
    asked.clear()
    stop_at = -1
    assert np.array_equal(run(), want)
    assert asked == ([0, 3, 6, 9] if finished else [3, 6, 9])
    assert ("is damaged: it is made again" in capsys.readouterr().err) == finished


def test_targets_are_scaled_and_sources_are_not(editing_base: Path) -> None:
    base = load_base(editing_base, settings(), CPU)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    posterior = base.vae.encode(pixels).latent_dist
    assert torch.equal(encode_mode(base.vae, pixels), posterior.mode())
    moments, noise = torch.randn(2, 16, 8, 8), torch.randn(2, 8, 8, 8)
    mean, deviation = moments[:, :8], moments[:, 8:]
    torch.testing.assert_close(sample_target(moments, noise, 0.5), 0.5 * (mean + deviation * noise))
    torch.testing.assert_close(sample_target(moments, None, 0.5), 0.5 * mean)


def test_the_hash_of_weights_sees_every_weight() -> None:
    model = nn.Linear(2, 2)
    before = hash_weights(model)
    assert hash_weights(model) == before
    model.bias.data[1] += 1
    assert hash_weights(model) != before


def test_random_crops_cannot_be_cached() -> None:
    with pytest.raises(ValidationError, match="precompute: false"):
        settings(random_crop=True)
    assert settings(random_crop=True, precompute=False).random_crop
    with pytest.raises(ValidationError, match="resize_up_to"):
        settings(resize_up_to=40)


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out before the memory map is written, for then it would kill the process."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match="no space left"):
        cached_arrays(
            tmp_path, "name", {}, {"x": (4, 2)}, "float32", lambda _: {}, chunk=2, title="x"
        )
