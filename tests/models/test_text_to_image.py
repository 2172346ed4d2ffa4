"""Models that draw from words: what is accepted, and one sentence for what does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from overpaint.errors import UserError
from overpaint.models import hub, load_text_to_image, text_to_image
from overpaint.models.hub import download_controlnet
from tiny import LATENT_CHANNELS, build_tiny_pipeline, tiny_controlnet

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A pipeline that draws, with its ControlNet in a folder inside."""
    where = tmp_path_factory.mktemp("model") / "tiny"
    build_tiny_pipeline(where, in_channels=LATENT_CHANNELS)
    tiny_controlnet().save_pretrained(where / "controlnet")
    return where


def test_loads_ready_to_draw(tiny):
    model = load_text_to_image(tiny, device="cpu")
    assert (model.vae_factor, model.native_size, model.latent_channels) == (4, 32, 8)
    assert model.name == str(tiny)
    assert model.controlnet is None
    assert not any(p.requires_grad for p in model.unet.parameters())


@pytest.mark.parametrize("where", [".", "controlnet"])
def test_a_controlnet_by_its_folder_or_its_pipelines(tiny, where):
    model = load_text_to_image(tiny, tiny / where, device="cpu", dtype="bf16")
    assert model.controlnet is not None
    assert not model.controlnet.training
    assert {model.unet.dtype, model.controlnet.dtype} == {torch.bfloat16}
    assert not any(p.requires_grad for p in model.controlnet.parameters())


def test_an_editing_model_does_not_draw(tmp_path):
    folder = build_tiny_pipeline(tmp_path / "edits")
    with pytest.raises(UserError, match=r"takes 16 channels .* so it is an editing model"):
        load_text_to_image(folder, device="cpu")


def test_a_nano_without_the_parts_that_draw_says_so(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(text_to_image, "NANO", tmp_path)
    with pytest.raises(UserError, match="carries no text_to_image part of nano"):
        load_text_to_image("nano", device="cpu")
    with pytest.raises(UserError, match="carries no controlnet part of nano"):
        load_text_to_image(tiny, "nano", device="cpu")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no-such-thing", "there is no ControlNet"),
        ("nobody/nothing-of-the-kind", "hub cannot be reached"),
    ],
)
def test_no_controlnet_there(tiny, name, says):
    with pytest.raises(UserError, match=says):
        load_text_to_image(tiny, name, device="cpu")


def test_a_folder_without_a_controlnet(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no config\.json"):
        load_text_to_image(tiny, tmp_path / "empty", device="cpu")
    (tmp_path / "a.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.safetensors is no ControlNet"):
        load_text_to_image(tiny, tmp_path / "a.safetensors", device="cpu")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("cross_attention_dim", 16, "its cross_attention_dim is 16, the model's 32"),
        ("conditioning_embedding_out_channels", (4, 8), "its pixels per latent is 2, the model's"),
    ],
)
def test_a_controlnet_of_another_model(tiny, tmp_path, key, value, says):
    tiny_controlnet(**{key: value}).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match=says):
        load_text_to_image(tiny, tmp_path / "other", device="cpu")


def test_broken_weights_are_one_sentence(tiny, tmp_path):
    copy = Path(shutil.copytree(tiny / "controlnet", tmp_path / "copy"))
    weights = copy / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"the ControlNet .*copy cannot be loaded"):
        load_text_to_image(tiny, copy, device="cpu")
    (copy / "config.json").write_text(json.dumps({"in_channels": "many"}))
    with pytest.raises(UserError, match=r"the ControlNet .*copy cannot be loaded"):
        load_text_to_image(tiny, copy, device="cpu")


@pytest.mark.parametrize("within", ["", "controlnet/"])
def test_of_a_hub_s_controlnet_no_other_weights_are_fetched(within, tmp_path, monkeypatch):
    """In the hub's patterns * goes across folders: `*.safetensors` would take whole pipelines."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError
    from huggingface_hub.utils import filter_repo_objects

    names = [f"{within}config.json", f"{within}diffusion_pytorch_model.safetensors"]
    others = ["model_index.json", "v1-5-pruned.safetensors", "unet/config.json",
              "unet/diffusion_pytorch_model.safetensors",
              f"{within}diffusion_pytorch_model.fp16.safetensors"]  # fmt: skip
    fetched = []

    def one_file(repo_id, file, revision):
        assert revision == COMMIT
        if file not in [*names, *others]:
            raise EntryNotFoundError("not there")

    def snapshot(repo_id, allow_patterns, ignore_patterns=None, revision=None):
        if revision is None:
            return str(tmp_path / COMMIT)
        assert revision == COMMIT
        fetched.extend(
            filter_repo_objects(
                [*names, *others], allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
            )
        )
        for name in fetched:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        return str(tmp_path)

    monkeypatch.setattr(hub, "_commits", {})
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", one_file)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert download_controlnet("some/one") == tmp_path / within
    assert fetched == names


def test_a_hub_s_model_without_a_controlnet_is_one_sentence(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    def nothing(repo_id, file, revision):
        raise EntryNotFoundError("not there")

    monkeypatch.setattr(hub, "_commits", {"some/one": COMMIT})
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", nothing)
    with pytest.raises(UserError, match="some/one on the hub has no ControlNet of its own"):
        download_controlnet("some/one")
