"""What is taken from the hub is of one commit, whatever happens there while a process runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects

from overpaint.errors import UserError
from overpaint.models import hub
from overpaint.models.hub import download_network, download_pipeline, resolved_revision


class FakeHub:
    """Repositories of files, of which every look without a commit finds a newer one."""

    def __init__(self, root: Path, files: list[str]) -> None:
        self.root, self.files, self.commits, self.asked = root, files, 0, []

    def snapshot(self, repo_id, revision=None, allow_patterns=None, ignore_patterns=None):
        self.asked.append(revision)
        if revision is None:
            self.commits += 1
            revision = f"{self.commits:040x}"
        folder = self.root / revision
        folder.mkdir(exist_ok=True)
        found = filter_repo_objects(
            self.files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        )
        for name in found:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        return str(folder)

    def one(self, repo_id, file, revision=None):
        from huggingface_hub.errors import EntryNotFoundError

        if file not in self.files:
            raise EntryNotFoundError("not there")
        return str(Path(self.snapshot(repo_id, revision, [file]), file))


@pytest.fixture
def fake(tmp_path, monkeypatch):
    def make(*files: str) -> FakeHub:
        import huggingface_hub

        there = FakeHub(tmp_path, list(files))
        monkeypatch.setattr(huggingface_hub, "snapshot_download", there.snapshot)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", there.one)
        monkeypatch.setattr(hub, "_commits", {})
        return there

    return make


def test_a_name_is_resolved_once(fake):
    there = fake("config.json", "model.safetensors", "tokenizer.json", "flax_model.msgpack")
    first = download_network("some/one")
    assert resolved_revision("some/one") == first.name == f"{1:040x}"
    assert download_network("some/one") == first
    assert there.commits == 1
    assert there.asked[0] is None
    assert set(there.asked[1:]) == {first.name}
    names = {path.name for path in first.iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json"}


@pytest.mark.parametrize("name", ["nano", "nano-text-to-image", ".", "no-such", "a.safetensors"])
def test_what_is_not_of_the_hub_has_no_revision(name, fake):
    there = fake()
    assert resolved_revision(name) is None
    assert there.asked == []


def test_a_folder_here_comes_before_the_hub(fake, tmp_path, monkeypatch):
    there = fake("config.json")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some/one").mkdir(parents=True)
    assert resolved_revision("some/one") is None
    assert there.asked == []


@pytest.mark.parametrize("variant", ["fp32", "fp16", "bf16", "non_ema"])
def test_of_a_pipeline_the_parts_without_plain_weights_come_as_a_variant(variant, fake):
    plain = ["vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"]
    small = ["model_index.json", "unet/config.json", "tokenizer/vocab.json"]
    only = f"unet/diffusion_pytorch_model.{variant}.safetensors"
    others = [f"vae/diffusion_pytorch_model.{variant}.safetensors", "v1-5.safetensors"]
    pickles = ["unet/diffusion_pytorch_model.bin", "safety_checker/model.safetensors"]
    fake(*plain, *small, only, *others, *pickles)
    folder = download_pipeline("some/one")
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {*plain, *small, only}


def test_an_adapter_of_the_hub_is_fetched_too(fake):
    fake("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "tokenizer.json")
    names = {path.name for path in download_network("some/one").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}


def test_a_repository_without_a_network_is_one_sentence(fake):
    fake("README.md")
    with pytest.raises(UserError, match=r"some/one on the hub has no config\.json"):
        download_network("some/one")
