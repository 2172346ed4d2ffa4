"""Weights that are missing or misshapen are refused by name and surplus ones said, by every loader."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from overpaint.errors import UserError
from overpaint.instruct.models import load_language_model
from overpaint.models.clip import load_clip
from overpaint.models.dino import load_dino
from overpaint.models.loading import load_network
from overpaint.models.single_file import load_single_file
from tiny import build_tiny_pipeline, build_tiny_tokenizer, tiny_controlnet
from tiny_language import build_tiny_language_model

SPOILED = 16  # of each loader: every way at least twice, spread over its tensors
WAYS = ("removed", "longer", "folded", "removed", "longer", "folded", "added")
CPU = torch.device("cpu")


class Loader(NamedTuple):
    """A file of weights, what loads it, and by what other name messages call its tensors."""

    file: Path
    load: Callable[[], Any]
    also_called: Callable[[str], str] = str


def unet(where: Path) -> Loader:
    return _part(where, "unet", "UNet2DConditionModel")


def vae(where: Path) -> Loader:
    return _part(where, "vae", "AutoencoderKL")


def text_encoder(where: Path) -> Loader:
    return _part(where, "text_encoder", "CLIPTextModel")


def controlnet(where: Path) -> Loader:
    from diffusers import ControlNetModel

    tiny_controlnet().save_pretrained(where)
    file = where / "diffusion_pytorch_model.safetensors"
    return Loader(file, lambda: load_network(ControlNetModel, where))


def clip(where: Path) -> Loader:
    from transformers import CLIPConfig, CLIPModel

    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
             "num_attention_heads": 2}  # fmt: skip
    config = CLIPConfig(text_config=shape | {"vocab_size": 800, "max_position_embeddings": 32},
                        vision_config=shape | {"image_size": 16, "patch_size": 8},
                        projection_dim=8)  # fmt: skip
    build_tiny_tokenizer(where)
    CLIPModel(config).save_pretrained(where)
    return Loader(where / "model.safetensors", lambda: load_clip(where))


def dino(where: Path) -> Loader:
    """With the pooler, whose half must not be missed either."""
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    config = ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                       intermediate_size=32, image_size=32, patch_size=8)  # fmt: skip
    ViTModel(config).save_pretrained(where)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(where)
    return Loader(where / "model.safetensors", lambda: load_dino(where), _in_the_network)


def _in_the_network(name: str) -> str:
    """transformers renames a vision transformer's tensors when it loads and saves them."""
    for theirs, now in {
        "encoder.layer.": "layers.",
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
    }.items():
        name = name.replace(theirs, now)
    return name


def gemma(where: Path) -> Loader:
    """Its output layer is its embedding, stored once."""
    build_tiny_language_model(where)
    return _language(where, "model")


def llama(where: Path) -> Loader:
    build_tiny_language_model(where, family="llama")
    return _language(where, "model")


def adapter(where: Path) -> Loader:
    from peft import LoraConfig, get_peft_model

    base = build_tiny_language_model(where / "base")
    model = load_language_model(base, CPU, torch.float32).model
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj", "up_proj", "down_proj"],
                        init_lora_weights=False, task_type="CAUSAL_LM")  # fmt: skip
    lora = get_peft_model(model, config)
    lora.peft_config["default"].base_model_name_or_path = str(base)
    lora.save_pretrained(where)
    return _language(where, "adapter_model")


def _part(where: Path, part: str, kind: str) -> Loader:
    import diffusers
    import transformers

    build_tiny_pipeline(where)
    stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
    kind = getattr(diffusers, kind, None) or getattr(transformers, kind)
    file = where / part / f"{stem}.safetensors"
    return Loader(file, lambda: load_network(kind, where / part))


def _language(where: Path, stem: str) -> Loader:
    file = where / f"{stem}.safetensors"
    return Loader(file, lambda: load_language_model(where, CPU, torch.float32))


def spoiled(tensors: dict[str, torch.Tensor]) -> Iterator[tuple[str, str, dict]]:
    """(what was done, the tensor's name, all tensors): one removed, reshaped or added each time.

    Spread over the list of tensors and over the ways.
    """
    names = sorted(tensors)
    for number in range(SPOILED):
        name = names[(number * max(1, len(names) // SPOILED) + number // len(names)) % len(names)]
        how = WAYS[(number + number // len(names)) % len(WAYS)]
        table, tensor = dict(tensors), tensors[name]
        if how == "removed":
            del table[name]
        elif how == "longer":
            table[name] = torch.cat([tensor, tensor[-1:]]) if tensor.ndim else tensor.repeat(2)
        elif how == "folded":
            table[name] = tensor.unsqueeze(0)
        else:
            name = f"{name.rpartition('.')[0]}.another.weight".removeprefix(".")
            table[name] = tensor.clone()
        yield how, name, table


def check_spoiled(
    loader: Loader,
    original: dict[str, torch.Tensor],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """None of the spoiled files loads silently, and each is called by the tensor's name."""
    loader.load()
    assert capfd.readouterr() == ("", ""), "a whole file loads without a word"
    silent = []
    for how, name, table in spoiled(original):
        save_file(table, loader.file, metadata={"format": "pt"})
        try:
            loader.load()
            said = "" if how != "added" else capfd.readouterr().err
        except UserError as error:
            said = str(error)
            assert "\n" not in said
        # transformers leaves out the name of the whole in front, or that of the part.
        called = [name, name.removeprefix("text_model."), loader.also_called(name)]
        if not any(word in said for word in called):
            silent.append((how, name, said))
    assert not silent


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [unet, vae, text_encoder, controlnet, clip, dino, gemma, llama, adapter]
)
def test_no_loader_makes_weights_up(make, tmp_path, capfd):
    loader = make(tmp_path)
    capfd.readouterr()
    check_spoiled(loader, load_file(loader.file), capfd)


@pytest.mark.slow
def test_a_single_file_is_whole_or_refused(tmp_path, capfd, narrow_configs, narrow_tensors):
    from original_layout import original_text_name, original_unet_name, original_vae_name

    path = tmp_path / "model.safetensors"
    save_file(narrow_tensors, path)
    model = load_single_file(path, torch.float32, narrow_configs)
    names = {original_unet_name(name, 1): name for name in model.unet.state_dict()}
    names |= {original_vae_name(name, 2): name for name in model.vae.state_dict()}
    names |= {original_text_name(name): name for name in model.text_encoder.state_dict()}
    # What is none of the three's is anybody's (a step count, an optimizer's rest).
    ours = {name: tensor for name, tensor in narrow_tensors.items() if name in names}

    def called(name: str) -> str:
        return names.get(name) or name.rpartition("text_model.")[2]

    loader = Loader(path, lambda: load_single_file(path, torch.float32, narrow_configs), called)
    check_spoiled(loader, ours, capfd)


def test_an_average_that_is_not_whole_is_refused(tmp_path, narrow_configs, narrow_tensors):
    from original_layout import ema_name

    path = tmp_path / "model.safetensors"
    plain = sorted(name for name in narrow_tensors if name.startswith("model.diffusion_model."))
    averaged = {ema_name(name): narrow_tensors[name].clone() for name in plain}
    for lacking in plain[:: len(plain) // 5]:
        table = narrow_tensors | averaged
        del table[ema_name(lacking)]
        save_file(table, path)
        with pytest.raises(UserError, match=ema_name(lacking)):
            load_single_file(path, torch.float32, narrow_configs)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.float8_e4m3fn, torch.bool])
@pytest.mark.parametrize("make", [unet, text_encoder])
def test_weights_that_are_no_fractions_are_refused(make, dtype, tmp_path):
    loader = make(tmp_path)
    tensors = load_file(loader.file)
    name = sorted(tensors)[3]
    save_file(tensors | {name: tensors[name].to(dtype)}, loader.file, metadata={"format": "pt"})
    with pytest.raises(UserError, match="is stored as"):
        loader.load()


def test_what_older_libraries_stored_besides_is_passed_over(tmp_path, capfd):
    loader = text_encoder(tmp_path)
    tensors = load_file(loader.file)
    prefixed = {f"text_model.{name.removeprefix('text_model.')}": t for name, t in tensors.items()}
    prefixed["text_model.embeddings.position_ids"] = torch.arange(32)[None]
    capfd.readouterr()
    save_file(prefixed, loader.file, metadata={"format": "pt"})
    for name, value in loader.load().state_dict().items():
        assert torch.equal(value, prefixed[f"text_model.{name.removeprefix('text_model.')}"])
    assert capfd.readouterr().err == ""


def test_a_dino_without_its_unused_pooler_loads(tmp_path, capfd):
    loader = dino(tmp_path)
    whole = loader.load().model.state_dict()
    stored = load_file(loader.file)
    kept = {n: t for n, t in stored.items() if not n.startswith("pooler.")}
    save_file(kept, loader.file, metadata={"format": "pt"})
    capfd.readouterr()
    loaded = loader.load().model.state_dict()
    used = [name for name in whole if not name.startswith("pooler.")]
    assert all(torch.equal(loaded[name], whole[name]) for name in used)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["fp16", "bf16", "fp32", "non_ema"])
@pytest.mark.parametrize("make", [unet, text_encoder])
def test_weights_of_a_variant_are_found(make, variant, tmp_path):
    loader = make(tmp_path)
    plain = loader.load().state_dict()
    loader.file.rename(loader.file.with_name(f"{loader.file.stem}.{variant}.safetensors"))
    loaded = loader.load().state_dict()
    assert all(torch.equal(loaded[name], plain[name]) for name in plain)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "asked", "taken"),
    [
        (["", "fp16", "non_ema"], "float16", ""),
        (["fp16", "non_ema"], "float32", "fp16"),
        (["bf16", "fp16"], "bfloat16", "bf16"),
        (["bf16", "fp16"], "float16", "fp16"),
        (["bf16", "fp16", "fp32"], "float16", "fp32"),
        (["non_ema", "pruned"], "float32", "pruned"),
    ],
)
def test_of_several_variants_one_is_taken_for_a_reason(there, asked, taken, tmp_path):
    loader = unet(tmp_path)
    whole = load_file(loader.file)
    loader.file.unlink()
    for number, name in enumerate(there):
        stem = f"diffusion_pytorch_model{'.' if name else ''}{name}.safetensors"
        told = {key: torch.full_like(value, number) for key, value in whole.items()}
        save_file(told, loader.file.with_name(stem), metadata={"format": "pt"})
    from diffusers import UNet2DConditionModel

    model = load_network(UNet2DConditionModel, loader.file.parent, dtype=getattr(torch, asked))
    assert model.dtype == getattr(torch, asked)
    assert float(model.conv_in.bias[0]) == there.index(taken)


@pytest.mark.parametrize("make", [unet, gemma])
def test_weights_in_parts_are_whole_or_refused(make, tmp_path, capfd):
    import json

    loader = make(tmp_path)
    whole, names = loader.load(), sorted(load_file(loader.file))
    tensors, stem = load_file(loader.file), loader.file.stem
    loader.file.unlink()
    parts = [f"{stem}-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for i, part in enumerate(parts):
        save_file({n: tensors[n] for n in names[i::2]}, loader.file.with_name(part),
                  metadata={"format": "pt"})  # fmt: skip
    index = loader.file.with_name(f"{stem}.safetensors.index.json")
    places = {name: parts[i % 2] for i, name in enumerate(names)}
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    again = loader.load()
    pairs = [(getattr(m, "model", m)) for m in (whole, again)]
    for name, value in pairs[0].state_dict().items():
        assert torch.equal(value, pairs[1].state_dict()[name])
    second = load_file(loader.file.with_name(parts[1]))
    lost = sorted(second)[0]
    del second[lost]
    save_file(second, loader.file.with_name(parts[1]), metadata={"format": "pt"})
    with pytest.raises(UserError, match=lost):
        loader.load()
    loader.file.with_name(parts[1]).unlink()
    with pytest.raises(UserError, match=parts[1]):
        loader.load()


def test_loading_leaves_the_random_numbers_alone(tmp_path):
    loader = unet(tmp_path)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    loader.load()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_adapter_in_the_place_of_a_network_is_refused(tmp_path):
    """transformers would load what the adapter names instead, from wherever that is."""
    loader = text_encoder(tmp_path)
    (loader.file.parent / "adapter_config.json").write_text('{"base_model_name_or_path": "a/b"}')
    with pytest.raises(UserError, match="it is an adapter"):
        loader.load()
    shutil.rmtree(tmp_path)
