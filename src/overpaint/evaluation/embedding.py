"""Pictures and words as vectors: any CLIP and any DINO that transformers can load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from overpaint.errors import UserError
from overpaint.models import quiet_libraries
from overpaint.models.names import NANO

if TYPE_CHECKING:
    from transformers import CLIPModel

AT_ONCE = 64  # pictures or texts


@dataclass
class Clip:
    """A CLIP in evaluation mode; `name` is what the report calls it."""

    name: str
    model: CLIPModel
    tokenizer: Any
    processor: Any

    @torch.inference_mode()
    def images(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(n, d) float32 on the CPU, each of length 1."""
        device = self.model.device

        def encode(batch: Sequence[Image.Image]) -> Tensor:
            pixels = self.processor(images=list(batch), return_tensors="pt").pixel_values
            return _features(self.model.get_image_features(pixel_values=pixels.to(device)))

        return _in_batches(pictures, encode)

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """(n, d) float32 on the CPU, each of length 1; what is too long for CLIP is cut off."""
        device = self.model.device
        most = min(
            int(self.tokenizer.model_max_length),
            int(self.model.config.text_config.max_position_embeddings),
        )

        def encode(batch: Sequence[str]) -> Tensor:
            tokens = self.tokenizer(
                list(batch), padding=True, truncation=True, max_length=most, return_tensors="pt"
            )
            return _features(
                self.model.get_text_features(
                    input_ids=tokens.input_ids.to(device),
                    attention_mask=tokens.attention_mask.to(device),
                )
            )

        return _in_batches(texts, encode)


@dataclass
class Dino:
    """A DINO (or any vision transformer) in evaluation mode: its class token is the vector."""

    name: str
    model: Any
    processor: Any

    @torch.inference_mode()
    def images(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(n, d) float32 on the CPU, each of length 1."""
        device = self.model.device

        def encode(batch: Sequence[Image.Image]) -> Tensor:
            pixels = self.processor(images=list(batch), return_tensors="pt").pixel_values
            return self.model(pixel_values=pixels.to(device)).last_hidden_state[:, 0]

        return _in_batches(pictures, encode)


def load_clip(name: str | Path, device: str | torch.device | None = None) -> Clip:
    """Load a CLIP in float32: `nano`, a folder, or a hub id.

    A pipeline's folder that brings its own (as nano's does, in `clip/`, with the tokenizer
    beside it) serves too. Pictures of a CLIP without a preprocessor_config.json are scaled to
    its size and to [-1, 1].

    Raises:
        UserError: there is none, or it is broken.
    """
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    folder, tokenizer_folder = _clip_folders(name)
    with quiet_libraries():
        model = _load(name, lambda: CLIPModel.from_pretrained(folder, use_safetensors=True))
        tokenizer = _load(name, lambda: CLIPTokenizer.from_pretrained(tokenizer_folder))
        side = int(model.config.vision_config.image_size)
        if isinstance(folder, Path) and not (folder / "preprocessor_config.json").is_file():
            processor = CLIPImageProcessorPil(
                size={"shortest_edge": side},
                crop_size={"height": side, "width": side},
                image_mean=[0.5] * 3,
                image_std=[0.5] * 3,
            )
        else:
            processor = _load(name, lambda: CLIPImageProcessorPil.from_pretrained(folder))
    return Clip(str(name), model.float().eval().to(device or "cpu"), tokenizer, processor)


def load_dino(name: str | Path, device: str | torch.device | None = None) -> Dino:
    """Load a DINO, DINOv2 or DINOv3 in float32: a folder or a hub id.

    Raises:
        UserError: there is none, or it is broken.
    """
    from transformers import AutoImageProcessor, AutoModel

    with quiet_libraries():
        model = _load(name, lambda: AutoModel.from_pretrained(name, use_safetensors=True))
        processor = _load(name, lambda: AutoImageProcessor.from_pretrained(name, backend="pil"))
    return Dino(str(name), model.float().eval().to(device or "cpu"), processor)


def _clip_folders(name: str | Path) -> tuple[str | Path, str | Path]:
    """Where the model and its tokenizer are: two folders, or a hub id twice."""
    folder = NANO if str(name) == "nano" else Path(name)
    if (folder / "clip").is_dir():
        return folder / "clip", folder / "tokenizer"
    if folder.is_dir():
        has_own = any((folder / n).is_file() for n in ("tokenizer.json", "vocab.json"))
        return folder, folder if has_own else folder.parent / "tokenizer"
    return str(name), str(name)


def _load(name: str | Path, load: Callable[[], Any]) -> Any:
    """Call a loader of transformers; its errors become one sentence."""
    from safetensors import SafetensorError

    try:
        return load()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        words = " ".join(str(error).split()).rstrip(".")
        words = words if len(words) <= 160 else words[:157] + "..."
        raise UserError(f"{name} cannot be loaded ({words}).") from error


def _features(output: Any) -> Tensor:
    """transformers 5 wraps the projected embedding in an output object; 4 returns it."""
    return output if isinstance(output, Tensor) else output.pooler_output


def _in_batches(items: Sequence[Any], encode: Callable[[Sequence[Any]], Tensor]) -> Tensor:
    parts = [encode(items[i : i + AT_ONCE]) for i in range(0, len(items), AT_ONCE)]
    return F.normalize(torch.cat(parts).float().cpu(), dim=-1)
