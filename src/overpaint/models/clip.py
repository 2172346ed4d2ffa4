"""CLIP: pictures and words as vectors of one space. Any CLIP that transformers can load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from overpaint.errors import UserError
from overpaint.models.folders import cannot_load
from overpaint.models.hub import download_network
from overpaint.models.loading import from_folder, load_network
from overpaint.models.names import clip_folders, is_hub_id
from overpaint.models.trying import PICTURES, WORDS, fit_length, try_tokenizer, try_vectors

if TYPE_CHECKING:
    from transformers import CLIPModel

AT_ONCE = 64  # pictures or texts
LARGEST_SIDE = 1024  # pixels of a picture that a network is shown
_MOST_OBLONG = 16  # long side by short side: of what is longer, a network sees the middle


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
        return picture_vectors(
            pictures,
            self.processor,
            self.model.device,
            lambda pixels: _features(self.model.get_image_features(pixel_values=pixels)),
        )

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """(n, d) float32 on the CPU, each of length 1; what is too long for CLIP is cut off."""
        device = self.model.device

        def encode(batch: Sequence[str]) -> Tensor:
            tokens = self.tokenizer(list(batch), padding=True, truncation=True, return_tensors="pt")
            return _features(
                self.model.get_text_features(
                    input_ids=tokens.input_ids.to(device),
                    attention_mask=tokens.attention_mask.to(device),
                )
            )

        return _unit_vectors(texts, encode)


def load_clip(name: str | Path, device: str | torch.device | None = None) -> Clip:
    """Load a CLIP in float32: `nano`, a folder, or a hub id.

    A pipeline's folder that brings its own (as nano's does, in `clip/`, with the tokenizer
    beside it) serves too. Pictures of a CLIP without a preprocessor_config.json are scaled to
    its size and to [-1, 1].

    Raises:
        UserError: there is none, or it is broken.
    """
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    folder, tokenizer_folder = clip_folders(name)
    if not isinstance(folder, Path):
        folder = tokenizer_folder = _fetch(folder)
    what = f"the CLIP {name}"
    model = load_network(CLIPModel, folder, what)
    tokenizer = from_folder(CLIPTokenizer, Path(tokenizer_folder), f"the tokenizer of {what}")
    side = int(model.config.vision_config.image_size)
    if not (folder / "preprocessor_config.json").is_file():
        processor = CLIPImageProcessorPil(
            size={"shortest_edge": side},
            crop_size={"height": side, "width": side},
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        )
    else:
        processor = load_processor(CLIPImageProcessorPil, folder, what)
    tower = model.config.text_config
    fit_length(tokenizer, int(tower.max_position_embeddings), f"the tokenizer of {what}")
    try_tokenizer(tokenizer, int(tower.vocab_size), f"the tokenizer of {what}")
    clip = Clip(str(name), model.eval().to(device or "cpu"), tokenizer, processor)
    try_vectors(lambda: clip.images(PICTURES), what)
    try_vectors(lambda: clip.texts(WORDS), what)
    return clip


def load_processor(kind: Any, folder: Path, what: str, **options: Any) -> Any:
    """What scales pictures for a network, from its folder.

    Raises:
        UserError: it is broken, or scales them to a size that would fill the memory.
    """
    what = f"the image processor of {what}"
    processor = from_folder(kind, folder, what, **options)
    for sides in (getattr(processor, key, None) for key in ("size", "crop_size", "pad_size")):
        for number in [] if sides is None else asdict(sides).values():
            if number is not None and not 1 <= number <= LARGEST_SIDE:
                raise cannot_load(what, f"it scales to {number} pixels")
    return processor


def _fetch(name: str) -> Path:
    """Say clearly where there is no CLIP: transformers would speak of its own ways."""
    if not is_hub_id(name):
        raise UserError(
            f"there is no CLIP {name!r}: give nano, a folder, or a hub id such as "
            "openai/clip-vit-large-patch14."
        )
    return download_network(name)


def picture_vectors(
    pictures: Sequence[Image.Image],
    processor: Any,
    device: torch.device,
    encode: Callable[[Tensor], Tensor],
) -> Tensor:
    """(n, d) float32 on the CPU, each of length 1: what `encode` makes of prepared pixels."""

    def prepare(batch: Sequence[Image.Image]) -> Tensor:
        shown = [_middle(picture) for picture in batch]
        pixels = processor(images=shown, return_tensors="pt").pixel_values
        return encode(pixels.to(device))

    return _unit_vectors(pictures, prepare)


def _middle(picture: Image.Image) -> Image.Image:
    """Of a very long picture its middle: scaled to a short side of 224, all would be gigabytes."""
    width, height = picture.size
    most = min(picture.size) * _MOST_OBLONG
    across, down = max(width - most, 0) // 2, max(height - most, 0) // 2
    if not (across or down):
        return picture
    return picture.crop((across, down, width - across, height - down))


def _unit_vectors(items: Sequence[Any], encode: Callable[[Sequence[Any]], Tensor]) -> Tensor:
    """Encode in batches of `AT_ONCE`: (n, d) float32 on the CPU, each of length 1."""
    parts = [encode(items[i : i + AT_ONCE]) for i in range(0, len(items), AT_ONCE)]
    return F.normalize(torch.cat(parts).float().cpu(), dim=-1)


def _features(output: Any) -> Tensor:
    """transformers 5 wraps the projected embedding in an output object; 4 returns it."""
    return output if isinstance(output, Tensor) else output.pooler_output
