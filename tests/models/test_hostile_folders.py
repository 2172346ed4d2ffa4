"""A model's folder may come from anyone: no code of it runs, nothing outside is opened, and what
cannot be loaded is one sentence, in bounded memory."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import hostile
import pytest
from hostile import Model, spoiled_numbers, spoiled_tables
from PIL import Image
from safetensors.torch import load_file, save_file

from overpaint.errors import UserError

pytestmark = pytest.mark.slow

KINDS = ("pipeline", "controlnet", "clip", "dino", "writer", "adapter")
MOST_MEMORY = 400  # MiB more than before, for any number of models of some hundred KiB


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Model]:
    return hostile.build_all(tmp_path_factory.mktemp("models"))


@pytest.fixture
def model(models, request) -> Iterator[Model]:
    """A model whose folder a test may spoil; it is put back afterwards."""
    model = models[request.param]
    kept = model.folder.with_name(f"{model.folder.name}-kept")
    shutil.copytree(model.folder, kept, symlinks=True)
    yield model
    shutil.rmtree(model.folder)
    kept.rename(model.folder)


def sentence_of(load: Callable[[], object]) -> str | None:
    """What a refusal says, in one line that a terminal can show; None where it loads.

    Any other error than ours fails the test that calls.
    """
    try:
        load()
    except UserError as error:
        said = str(error)
        assert said.isprintable(), repr(said)
        assert len(said) < 1000
        return said
    return None


def peak() -> float:
    """MiB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("spoil", [spoiled_tables, spoiled_numbers])
@pytest.mark.parametrize("model", KINDS, indirect=True)
def test_a_table_may_hold_anything(model, spoil):
    assert sentence_of(model.load) is None
    before, refused, seen = peak(), 0, 0
    for how, path, content in list(spoil(model.folder)):
        kept = path.read_bytes()
        path.write_bytes(content)
        try:
            refused += sentence_of(model.load) is not None
        except Exception as error:
            raise AssertionError(f"{how}: {type(error).__name__}: {error}") from error
        finally:
            path.write_bytes(kept)
        seen += 1
    assert 0 < refused <= seen
    assert peak() - before < MOST_MEMORY


CODE = "from pathlib import Path\nPath(__file__).with_name('ran').write_text('')\nclass Own: ...\n"


@pytest.mark.parametrize("value", [{"AutoModel": "own.Own"}, "own.Own", ["own.Own"]])
@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("pipeline", "unet/config.json"),
        ("pipeline", "text_encoder/config.json"),
        ("pipeline", "tokenizer/tokenizer_config.json"),
        ("pipeline", "scheduler/scheduler_config.json"),
        ("controlnet", "config.json"),
        ("clip", "config.json"),
        ("clip", "preprocessor_config.json"),
        ("clip", "tokenizer_config.json"),
        ("dino", "config.json"),
        ("dino", "preprocessor_config.json"),
        ("writer", "config.json"),
        ("writer", "tokenizer_config.json"),
        ("writer", "generation_config.json"),
        ("adapter", "adapter_config.json"),
    ],
    indirect=["model"],
)
def test_code_of_a_folder_is_never_run(model, file, value, monkeypatch):
    """Nor does anybody ask whether it may be."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    path = model.folder / file
    path.with_name("own.py").write_text(CODE)
    table = json.loads(path.read_text())
    table |= {"auto_map": value, "model_type": "own"}
    path.write_text(json.dumps(table))
    assert "names code of its own (auto_map), which is never run" in sentence_of(model.load)
    assert not list(model.folder.rglob("ran"))


@pytest.mark.parametrize("model", ["pipeline"], indirect=True)
@pytest.mark.parametrize(
    ("part", "entry"),
    [
        ("unet", ["own", "UNet2DConditionModel"]),
        ("tokenizer", ["own.more", "CLIPTokenizer"]),
        ("scheduler", ["own", "DDIMScheduler"]),
        ("scheduler", ["diffusers", "pipelines.own"]),
        ("_class_name", ["own", "Own"]),
    ],
)
def test_a_pipeline_of_own_code_is_refused(model, part, entry):
    index = model.folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {part: entry}))
    (model.folder / "own.py").write_text(CODE)
    shutil.copy(model.folder / "own.py", model.folder / "unet/own.py")
    assert sentence_of(model.load)
    assert not list(model.folder.rglob("ran"))


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ("writer", {"attn_implementation": "somebody/kernel"}),
        ("dino", {"_attn_implementation": "somebody/kernel@main:x"}),
        ("clip", {"text_config": {"attn_implementation": "somebody/kernel"}}),
        ("writer", {"transformers_weights": "../outside.safetensors"}),
        ("writer", {"quantization_config": {"quant_method": "bitsandbytes"}}),
        ("controlnet", {"quantization_config": {"quant_method": "gguf"}}),
        ("dino", {"model_type": "timm_backbone"}),
        ("dino", {"model_type": "swin"}),
    ],
    indirect=["model"],
)
def test_a_configuration_fetches_nothing(model, setting):
    path = model.folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | setting))
    assert sentence_of(model.load)


@pytest.mark.parametrize(
    "setting",
    [
        {"peft_type": "IA3"},
        {"peft_type": "XLORA"},
        {"peft_type": ["LORA"]},
        {"megatron_config": {"a": 1}, "megatron_core": "antigravity"},
        {"r": 10**9},
        {"r": -1},
        {"r": "x"},
        {"target_modules": ["nothing"]},
        {"target_modules": 5},
        {"base_model_name_or_path": None},
        {"base_model_name_or_path": ["a"]},
        {"base_model_name_or_path": "."},
        {"base_model_name_or_path": "../../no"},
        {"base_model_name_or_path": "\u001b[31m/a"},
    ],
)
@pytest.mark.parametrize("model", ["adapter"], indirect=True)
def test_an_adapter_asks_for_nothing_but_its_base(model, setting, monkeypatch):
    monkeypatch.chdir(model.folder)
    path = model.folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | setting))
    before = peak()
    assert sentence_of(model.load)
    assert peak() - before < MOST_MEMORY


@pytest.mark.parametrize(
    "setting",
    [
        {"target_modules": r"(\w+\.?)+!"},
        {"exclude_modules": r"(.*)*(.*)*!"},
        {"modules_to_save": [r"(.*.*)*!"]},
        {"rank_pattern": {r"(\w+\.?)+!": 4}},
        {"alpha_pattern": {r"(.*)*!": 4}},
    ],
)
@pytest.mark.parametrize("model", ["adapter"], indirect=True)
def test_patterns_of_an_adapter_come_to_an_end(model, setting, monkeypatch):
    monkeypatch.setattr("overpaint.models.adapter_patterns.SECONDS", 0.5)
    path = model.folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | setting))
    assert "has no end" in sentence_of(model.load)


@pytest.mark.parametrize("model", ["adapter"], indirect=True)
def test_patterns_of_everyday_use_load(model):
    path = model.folder / "adapter_config.json"
    pattern = {"target_modules": r".*\.self_attn\.(q_proj)", "rank_pattern": {r"v_.*": 4}}
    path.write_text(json.dumps(json.loads(path.read_text()) | pattern))
    model.load()


@pytest.mark.parametrize("alpha", [float("inf"), float("nan"), 1e308])
@pytest.mark.parametrize("model", ["adapter"], indirect=True)
def test_a_strength_that_is_no_number_is_refused(model, alpha):
    path = model.folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": alpha}))
    assert "weights that are no numbers" in sentence_of(model.load)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("model", KINDS, indirect=True)
def test_weights_that_are_no_numbers_are_refused_by_every_loader(model, value):
    """One such weight in attention may leave no trace in what a small trial gives."""
    where = {"pipeline": "unet"}.get(model.folder.name, ".")
    (file,) = (model.folder / where).glob("*.safetensors")
    tensors = load_file(file)
    name = sorted(name for name, tensor in tensors.items() if tensor.ndim > 1)[-1]
    tensors[name].view(-1)[1] = value
    save_file(tensors, file, metadata={"format": "pt"})
    assert "weights that are no numbers" in sentence_of(model.load)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".pkl"])
@pytest.mark.parametrize("model", KINDS, indirect=True)
def test_pickles_are_refused_by_every_loader(model, suffix, capfd):
    """In one sentence of ours, and not by a library's advice to load them."""
    where = {"pipeline": "unet"}.get(model.folder.name, ".")
    (weights,) = (model.folder / where).glob("*.safetensors")
    weights.rename(weights.with_suffix(suffix))
    said = sentence_of(model.load)
    assert f"{weights.stem}{suffix} is a pickle, which can run any code" in said
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "a/b.safetensors", 5])
@pytest.mark.parametrize("model", ["writer", "controlnet"], indirect=True)
def test_an_index_names_files_of_its_folder(model, name):
    (weights,) = model.folder.glob("*.safetensors")
    weights.rename(model.folder.parent / "outside.safetensors")
    index = {"metadata": {}, "weight_map": {"model.embed_tokens.weight": name}}
    (model.folder / f"{weights.name}.index.json").write_text(json.dumps(index))
    assert "no file of this folder" in sentence_of(model.load)


def header(length: int, table: object, rest: int = 0) -> bytes:
    text = json.dumps(table).encode()
    return struct.pack("<Q", length or len(text)) + text + b"\0" * rest


BROKEN_WEIGHTS = {
    "empty": b"",
    "short": b"abc",
    "a header beyond the file": header(1 << 60, {}),
    "a header of half a file": header(1 << 30, {}),
    "no table": header(0, []),
    "sizes beyond the file": header(
        0, {"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}
    ),
    "shape and size at odds": header(
        0, {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 4]}}, 4
    ),
    "no number format": header(
        0, {"a": {"dtype": "\u001b[2J", "shape": [1], "data_offsets": [0, 4]}}, 4
    ),
    "a zip": b"PK\x03\x04" + b"\0" * 100,
    "a pickle": b"\x80\x04cos\nsystem\n(S'touch ran'\ntR.",
    "terminal codes": header(
        0, {"\u001b[2J": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, 4
    ),
    "a page": b"<!DOCTYPE html><html>Not found</html>",
    "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
}


@pytest.mark.parametrize("model", KINDS, indirect=True)
def test_weights_may_hold_anything(model, capfd):
    where = {"pipeline": "text_encoder"}.get(model.folder.name, ".")
    (weights,) = (model.folder / where).glob("*.safetensors")
    before, whole = peak(), weights.read_bytes()
    cuts = {f"cut at {n}": whole[:n] for n in (7, 9, 100, len(whole) // 2, len(whole) - 1)}
    for how, content in (BROKEN_WEIGHTS | cuts).items():
        weights.write_bytes(content)
        said = sentence_of(model.load)
        assert said is not None, how
    assert peak() - before < MOST_MEMORY
    assert capfd.readouterr().err.replace("\n", "").isprintable()


@pytest.mark.parametrize("model", KINDS, indirect=True)
def test_a_link_to_something_else_is_no_model(model):
    where = {"pipeline": "vae"}.get(model.folder.name, ".")
    (weights,) = (model.folder / where).glob("*.safetensors")
    weights.unlink()
    for target in ("/etc/passwd", "/nowhere/at/all", weights.parent, os.devnull):
        weights.symlink_to(target)
        assert "root:" not in (sentence_of(model.load) or pytest.fail(f"{target} loads"))
        weights.unlink()


TOKENIZERS = {"pipeline": "tokenizer", "clip": ".", "writer": "."}


def change(path: Path, **settings: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize("model", KINDS, indirect=True)
def test_a_pipe_in_the_place_of_weights_never_waits(model):
    for weights in list(model.folder.rglob("*.safetensors")):
        kept = weights.read_bytes()
        weights.unlink()
        os.mkfifo(weights)
        assert f"{weights.name} is no ordinary file" in sentence_of(model.load)
        weights.unlink()
        weights.write_bytes(kept)


@pytest.mark.parametrize("model", TOKENIZERS, indirect=True)
def test_a_tokenizer_reads_no_other_file(model, tmp_path):
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    settings = model.folder / TOKENIZERS[model.folder.name] / "tokenizer_config.json"
    change(settings, gguf_file=str(tmp_path / "other.gguf"))
    assert "has gguf_file, which is not read" in sentence_of(model.load)


@pytest.mark.parametrize("longest", [0, -1, 1, 1.5, True, "x", [5], float("nan")])
@pytest.mark.parametrize("model", ["pipeline", "clip"], indirect=True)
def test_a_tokenizer_leaves_room_for_words(model, longest):
    settings = model.folder / TOKENIZERS[model.folder.name] / "tokenizer_config.json"
    change(settings, model_max_length=longest)
    assert "model_max_length" in sentence_of(model.load)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "b"}},
        {"normalizer": {"type": "Prepend", "prepend": "x" * 10_000_000}},
        {
            "normalizer": {
                "type": "Sequence",
                "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}]
                * 30,
            }
        },
    ],
    ids=["another vocabulary", "a long beginning", "longer and longer"],
)
@pytest.mark.parametrize("model", TOKENIZERS, indirect=True)
def test_a_vocabulary_may_hold_anything(model, spoiled):
    change(model.folder / TOKENIZERS[model.folder.name] / "tokenizer.json", **spoiled)
    before = peak()
    assert "the tokenizer of" in sentence_of(model.load)
    assert peak() - before < MOST_MEMORY


@pytest.mark.parametrize("model", TOKENIZERS, indirect=True)
def test_tokens_that_a_network_does_not_have_are_refused(model):
    path = model.folder / TOKENIZERS[model.folder.name] / "tokenizer.json"
    table = json.loads(path.read_text())
    table["model"]["vocab"] = {word: n + 10**6 for word, n in table["model"]["vocab"].items()}
    path.write_text(json.dumps(table))
    assert "it gives token 1000" in sentence_of(model.load)


@pytest.mark.parametrize("model", ["pipeline"], indirect=True)
def test_a_tokenizer_without_its_vocabulary_is_refused(model):
    """The library makes one of two tokens, of which every text is the same."""
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (model.folder / "tokenizer" / name).unlink()
    assert "it knows no words" in sentence_of(model.load)


@pytest.mark.parametrize("model", ["pipeline", "clip"], indirect=True)
def test_a_tokenizer_without_padding_is_refused(model):
    settings = model.folder / TOKENIZERS[model.folder.name] / "tokenizer_config.json"
    change(settings, pad_token=None)
    assert "it has no pad_token" in sentence_of(model.load)


@pytest.mark.parametrize(
    ("file", "setting"),
    [
        ("preprocessor_config.json", {"image_mean": [0.5]}),
        ("preprocessor_config.json", {"image_std": [0, 0, 0]}),
        ("preprocessor_config.json", {"image_std": None}),
        ("preprocessor_config.json", {"rescale_factor": "x"}),
        ("preprocessor_config.json", {"rescale_factor": 1e300}),
        ("preprocessor_config.json", {"resample": 99}),
        ("preprocessor_config.json", {"size": None}),
        (
            "preprocessor_config.json",
            {"do_pad": True, "pad_size": {"height": 10**5, "width": 10**5}},
        ),
        ("config.json", {"return_dict": False}),
    ],
)
@pytest.mark.parametrize("model", ["clip", "dino"], indirect=True)
def test_a_judge_that_cannot_judge_is_refused_when_it_is_loaded(model, file, setting):
    """And not in mid-run, by a library's error or by figures of NaN."""
    change(model.folder / file, **setting)
    assert "cannot be loaded" in sentence_of(model.load)


@pytest.mark.parametrize("size", [(8, 200_000), (200_000, 8)])
@pytest.mark.parametrize("model", ["clip", "dino"], indirect=True)
def test_a_very_long_picture_is_judged_in_little_memory(model, size):
    judge, before = model.load(), peak()
    assert judge.images([Image.new("RGB", size)]).isfinite().all()
    assert peak() - before < 100
