"""Tiny models of every kind that is loaded, and ways to spoil their folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from overpaint.instruct.models import load_language_model
from overpaint.models import load_model
from overpaint.models.clip import load_clip
from overpaint.models.dino import load_dino
from overpaint.models.loading import load_network
from tiny import LATENT_CHANNELS, build_tiny_pipeline, build_tiny_tokenizer, tiny_controlnet
from tiny_language import build_tiny_language_model

CPU = torch.device("cpu")
DEEP = 100_000

# What may stand in a JSON file in the place of a table.
SHAPES: dict[str, bytes] = {
    "a list": b"[]",
    "an empty table": b"{}",
    "null": b"null",
    "a number": b"5",
    "cut": b'{"architectures": ["CLIPMod',
    "nested": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "nested lists": b"[" * DEEP + b"]" * DEEP,
    "no text": b"\xff\xfe\x00\x80",
    "a huge number": b'{"hidden_size": 1' + b"0" * 10_000 + b"}",
    "terminal codes": b'{"\\u001b[31m": "\\u001b]0;x\\u0007", "_class_name": "\\u001b[2J"}',
}
NUMBERS: list[Any] = [10**9, -1, 0, "x", None, 1e300, [10**9]]


class Model(NamedTuple):
    """A folder, and what loads it."""

    folder: Path
    load: Callable[[], Any]


def build_all(root: Path) -> dict[str, Model]:
    """A tiny model for each kind of loader."""
    from diffusers import ControlNetModel
    from peft import LoraConfig, get_peft_model
    from transformers import (
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        ViTConfig,
        ViTImageProcessorPil,
        ViTModel,
    )

    pipeline = build_tiny_pipeline(root / "pipeline", in_channels=LATENT_CHANNELS)
    (pipeline / "overpaint.json").write_text('{"num_inference_steps": 5}')
    tiny_controlnet().save_pretrained(root / "controlnet")
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    text = shape | {"vocab_size": 800, "max_position_embeddings": 32}
    vision = shape | {"image_size": 16, "patch_size": 8}
    build_tiny_tokenizer(root / "clip")
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(
        root / "clip"
    )
    CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    ).save_pretrained(root / "clip")
    ViTModel(ViTConfig(**vision)).save_pretrained(root / "dino")
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(root / "dino")
    writer = build_tiny_language_model(root / "writer")
    lora = get_peft_model(
        load_language_model(writer, CPU, torch.float32).model,
        LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
    )
    lora.peft_config["default"].base_model_name_or_path = str(writer)
    lora.save_pretrained(root / "adapter")
    (root / "adapter/overpaint.json").write_text('{"instruct": {"temperature": 0.7}}')

    def controlnet() -> Any:
        return load_network(ControlNetModel, root / "controlnet")

    return {
        "pipeline": Model(pipeline, lambda: load_model(pipeline, device="cpu")),
        "controlnet": Model(root / "controlnet", controlnet),
        "clip": Model(root / "clip", lambda: load_clip(root / "clip")),
        "dino": Model(root / "dino", lambda: load_dino(root / "dino")),
        "writer": Model(writer, lambda: load_language_model(writer, CPU, torch.float32)),
        "adapter": Model(
            root / "adapter", lambda: load_language_model(root / "adapter", CPU, torch.float32)
        ),
    }


def tables(folder: Path) -> list[Path]:
    """The JSON files of a model, those of its parts included."""
    return sorted(folder.rglob("*.json"))


def spoiled_tables(folder: Path) -> Iterator[tuple[str, Path, bytes]]:
    """(how, file, its new content): every file in each other shape, in turn."""
    for turn, path in enumerate(tables(folder)):
        for how, content in list(SHAPES.items())[turn % 2 :: 2]:
            yield f"{how} as {path.relative_to(folder)}", path, content


def spoiled_numbers(folder: Path) -> Iterator[tuple[str, Path, bytes]]:
    """Numbers of every configuration, each replaced by another kind of nonsense."""
    turn = 0
    for path in tables(folder):
        if not path.name.endswith("config.json"):
            continue
        table = json.loads(path.read_text(encoding="utf-8"))
        for inside, key in _numbers(table):
            kept, wrong = inside[key], NUMBERS[turn % len(NUMBERS)]
            turn += 1
            if turn % 2:
                continue
            inside[key] = wrong
            where = path.relative_to(folder)
            yield f"{key} = {wrong!r} in {where}", path, json.dumps(table).encode()
            inside[key] = kept


def _numbers(table: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(table.items() if isinstance(table, dict) else enumerate(table)):
        if isinstance(value, dict | list):
            yield from _numbers(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield table, key
