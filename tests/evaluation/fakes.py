"""Editors and judges of a few lines, so that tests of evaluation need no weights."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image

from overpaint.editing import Edit, Editor
from overpaint.errors import UserError
from overpaint.families.contract import Card
from overpaint.sampler import SamplerSettings
from tiny import defaults_of

Rule = Callable[[Image.Image, str, int, float, float], Image.Image]


class FakeEditor:
    """Edits by a rule (picture, instruction, seed, s_T, s_I) -> picture; counts its calls."""

    def __init__(self, rule: Rule, size: int = 64) -> None:
        self.rule = rule
        self.calls: list[int] = []
        own = defaults_of(20, 2.0, 1.2)
        self.card = Card("fake", "fake", own, size, 1000, device="cpu", dtype="float32")

    def _one(self, picture: Image.Image, text: str, seed: int, **settings: object) -> Edit:
        known = inspect.signature(Editor.edit_each).parameters.keys()
        unknown = settings.keys() - known - SamplerSettings.model_fields.keys()
        if unknown:
            raise TypeError(f"an Editor takes no {unknown}")
        scales = [
            value if isinstance(value := settings.get(name), float) else getattr(own, name)
            for own in [self.card.defaults]
            for name in ("guidance_scale", "image_guidance_scale")
        ]
        return Edit(self.rule(picture, text, seed, *scales), text, seed, *scales)

    def edit_pairs(
        self,
        images: Sequence[Image.Image],
        texts: Sequence[str],
        *,
        seed: Sequence[int],
        **s: object,
    ) -> list[Edit]:
        self.calls.append(len(images))
        return [self._one(*row, **s) for row in zip(images, texts, seed, strict=True)]

    def edit_each(
        self, image: Image.Image, texts: Sequence[str], *, seed: int = 0, num: int = 1, **s: object
    ) -> list[Edit]:
        return [self._one(image, text, seed + i, **s) for text in texts for i in range(num)]

    def edit_in_turn(
        self, image: Image.Image, texts: Sequence[str], *, seed: int = 0, **s: object
    ) -> list[Edit]:
        edits = []
        for text in texts:
            edits.append(self._one(image, text, seed, **s))
            image = edits[-1].image
        return edits

    def sweep(
        self,
        image: Image.Image,
        text: str,
        *,
        guidance_scales: Sequence[float],
        image_guidance_scales: Sequence[float],
        seed: int = 0,
        **s: object,
    ) -> list[Edit]:
        return [
            self._one(image, text, seed, guidance_scale=t, image_guidance_scale=i, **s)
            for i in image_guidance_scales
            for t in guidance_scales
        ]


def keep(picture: Image.Image, *_: object) -> Image.Image:
    """The rule of an editor that does nothing."""
    return picture


def fail(*_: object) -> Image.Image:
    """The rule of a model of NaN."""
    raise UserError("the model's output is not a number (its weights are broken).")


def build_tiny_clip(folder: Path) -> Path:
    """A folder with `clip/` and `tokenizer/`, as nano's, with random weights."""
    from transformers import CLIPConfig, CLIPModel

    from tiny import MAX_TOKENS, build_tiny_tokenizer

    build_tiny_tokenizer(folder / "tokenizer")
    words = len(json.loads((folder / "tokenizer/vocab.json").read_text(encoding="utf-8")))
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    tower |= {"num_attention_heads": 2, "projection_dim": 16}
    text = {**tower, "vocab_size": words, "max_position_embeddings": MAX_TOKENS}
    text |= {"bos_token_id": words - 2, "eos_token_id": words - 1, "pad_token_id": words - 1}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    model.save_pretrained(folder / "clip")
    return folder
