"""What a model's name may be, and one sentence for each that cannot be loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from overpaint.errors import UserError
from overpaint.families import load_editor
from overpaint.models import (
    find_model,
    load_model,
    pick_device,
    pick_dtype,
    save_pipeline,
)
from overpaint.sampler import PAPER
from tiny import build_tiny_pipeline, defaults_of


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    """A folder that a test may spoil."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def test_loads_ready_to_edit(tiny):
    model = load_editor(tiny, device="cpu")
    assert (model.vae_factor, model.native_size, model.latent_channels) == (4, 32, 8)
    assert model.dtype == torch.float32
    for part in (model.unet, model.vae, model.text_encoder):
        assert not part.training
        assert not any(p.requires_grad for p in part.parameters())
    assert model.defaults == PAPER


def test_the_dtype_that_is_asked_for(tiny):
    model = load_model(tiny, device="cpu", dtype="bf16")
    assert {model.unet.dtype, model.vae.dtype, model.text_encoder.dtype} == {torch.bfloat16}


def test_loading_says_nothing(tiny, capfd):
    load_model(tiny, device="cpu")
    assert capfd.readouterr() == ("", "")


def test_saved_folder_loads_in_stock_diffusers(tiny, tmp_path, capfd):
    from diffusers import StableDiffusionInstructPix2PixPipeline

    model = load_model(tiny, device="cpu")
    parts = {
        name: getattr(model, name)
        for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    }
    folder = save_pipeline(
        tmp_path / "out", **parts, dtype=torch.float16, defaults=defaults_of(20, 2.0, 1.2)
    )
    assert capfd.readouterr() == ("", ""), "saving says nothing"
    stored = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert model.unet.dtype == torch.float32
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(folder)
    assert pipeline.safety_checker is None
    parts_as_loaded = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    assert {part.dtype for part in parts_as_loaded} == {torch.float32}
    for key, value in pipeline.unet.state_dict().items():
        assert torch.equal(value, parts["unet"].state_dict()[key].half().float()), key
    ids = [t("turn the cat into a dog").input_ids for t in (pipeline.tokenizer, model.tokenizer)]
    assert ids[0] == ids[1]
    assert {"vocab.json", "merges.txt"} <= {p.name for p in (folder / "tokenizer").iterdir()}
    again = load_editor(folder, device="cpu")
    assert again.defaults == defaults_of(20, 2.0, 1.2)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_text_to_image_model_cannot_edit(tmp_path):
    folder = build_tiny_pipeline(tmp_path / "text", in_channels=8)
    assert load_model(folder, device="cpu").unet.config.in_channels == 8
    with pytest.raises(UserError, match="text-to-image model"):
        load_editor(folder, device="cpu")


@pytest.mark.parametrize(
    "name", ["no-such-model", "no/such/folder", "./missing", "", "model.ckpt", "a/b.safetensors"]
)
def test_an_unknown_model_is_answered_with_what_is_accepted(name):
    with pytest.raises(UserError, match=r"there is no model .*a hub id such as"):
        find_model(name)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin", ".pkl"])
def test_pickles_are_refused_and_why(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x80\x04")
    with pytest.raises(UserError, match="is a pickle, which can run any code"):
        find_model(path)


def test_a_folder_with_pickled_weights_is_refused(copy):
    (copy / "unet/diffusion_pytorch_model.safetensors").unlink()
    (copy / "unet/diffusion_pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(UserError, match=r"diffusion_pytorch_model\.bin is a pickle"):
        load_model(copy, device="cpu")


def test_weights_kept_in_float16_files_are_found(copy):
    for part, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        path = copy / part / f"{stem}.safetensors"
        path.rename(copy / part / f"{stem}.fp16.safetensors")
    assert load_model(copy, device="cpu").dtype == torch.float32


def test_missing_weights_are_not_made_up(copy):
    # The U-Net, which is read last, first: both stay spoiled.
    for part, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        path = copy / part / f"{stem}.safetensors"
        tensors = load_file(path)
        tensors.pop(sorted(tensors)[0])
        whole = path.read_bytes()
        save_file(tensors, path, metadata={"format": "pt"})
        with pytest.raises(UserError, match=f"the {part} of .* missing in its weights"):
            load_model(copy, device="cpu")
        path.write_bytes(whole)


def _cut(copy: Path) -> None:
    path = copy / "vae/diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _other_scheduler(copy: Path) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    index["scheduler"][1] = "NoSuchScheduler"
    (copy / "model_index.json").write_text(json.dumps(index))


def _other_unet(copy: Path) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    index["unet"][1] = "FluxTransformer2DModel"
    (copy / "model_index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_cut, "the vae of .* cannot be loaded"),
        (_other_scheduler, "has no scheduler 'NoSuchScheduler'"),
        (_other_unet, "its unet is FluxTransformer2DModel"),
        (lambda d: (d / "model_index.json").write_text("{"), "model_index.json of .* cannot be"),
        (lambda d: (d / "model_index.json").unlink(), "is no diffusers pipeline"),
        (lambda d: shutil.rmtree(d / "vae"), "has no vae folder"),
        (lambda d: (d / "unet/config.json").write_text("{}"), "the unet of"),
        (lambda d: shutil.rmtree(d / "tokenizer"), "has no tokenizer folder"),
        (lambda d: (d / "overpaint.json").write_text('{"stepz": 3}'), "overpaint.json is broken"),
        (
            lambda d: (d / "overpaint.json").write_text('{"guidance_scale": "a"}'),
            "must be a number",
        ),
    ],
)
def test_a_broken_folder_is_one_sentence(copy, spoil, says):
    spoil(copy)
    with pytest.raises(UserError, match=says):
        load_model(copy, device="cpu")


def test_a_hub_id_without_the_hub_is_one_sentence():
    with pytest.raises(UserError, match="hub cannot be reached"):
        load_model("nobody/nothing-of-the-kind", device="cpu")


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "meta", "xpu"])
def test_a_device_that_is_not_here(device):
    with pytest.raises(UserError, match="device"):
        pick_device(device)


def test_number_formats_by_name():
    cpu = torch.device("cpu")
    assert pick_dtype(None, cpu) == torch.float32
    assert pick_dtype(None, torch.device("cuda")) == torch.float16
    assert pick_dtype("fp16", cpu) == torch.float16
    assert pick_dtype(torch.bfloat16, cpu) == torch.bfloat16
    with pytest.raises(UserError, match="no number format called 'int8'"):
        pick_dtype("int8", cpu)
