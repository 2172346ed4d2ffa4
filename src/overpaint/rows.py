"""Rows of the datasets: what a triplet and a pair are, column by column.

The names of the columns are a contract: they are those of the public InstructPix2Pix data,
and no part of the package spells them another way.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from datasets import Features
    from PIL.Image import Image


@dataclass(frozen=True, kw_only=True)
class Triplet:
    """A caption, an instruction, and the caption of the picture after the edit.

    `kind` is one of `instruct.kinds.KINDS`, `seed` that of its sampling, `model` what wrote it;
    what is unknown is None.
    """

    original_prompt: str
    edit_prompt: str
    edited_prompt: str
    kind: str | None = None
    seed: int | None = None
    model: str | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The triplet in a row that is known to hold one; other columns are passed over."""
        return cls(**{name: row[name] for name in TRIPLET_FIELDS if name in row})

    def to_row(self) -> dict[str, Any]:
        """The row as a dataset stores it."""
        return {name: getattr(self, name) for name in TRIPLET_FIELDS}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A triplet with its two pictures, what produced them, and how well they fit.

    Both images are RGB and of one size. What is unknown or does not apply is None.
    `conditioning_scale` belongs to the ControlNet method, `attention_fraction` (the share of
    steps with the source's attention, in [0, 1]) to Prompt-to-Prompt. The `clip_*` scores are
    cosines in [-1, 1] on L2-normalised embeddings: `clip_original` and `clip_edited` of image
    and caption before and after, `clip_image` of the two images, `clip_direction` of the
    difference of the images and the difference of the captions (2211.09800, section 3.1.2;
    None where the captions are equal). `mask`, of the images' size, is white where some right
    answer changes the original and black where none does.
    """

    original_prompt: str
    edit_prompt: str
    edited_prompt: str
    original_image: Image
    edited_image: Image
    seed: int | None = None
    kind: str | None = None
    method: str | None = None
    conditioning_scale: float | None = None
    attention_fraction: float | None = None
    guidance_scale: float | None = None
    num_inference_steps: int | None = None
    model: str | None = None
    clip_original: float | None = None
    clip_edited: float | None = None
    clip_image: float | None = None
    clip_direction: float | None = None
    mask: Image | None = None

    def to_row(self) -> dict[str, Any]:
        """The row as a dataset stores it: images as PNG bytes, equal images equal bytes."""
        row = {name: getattr(self, name) for name in PAIR_COLUMNS}
        for name in IMAGE_COLUMNS:
            image = row[name]
            row[name] = None if image is None else {"bytes": png_bytes(image), "path": None}
        return row


MAX_CAPTION = 600  # characters; CLIP reads 77 tokens, some 300 characters, of a caption
MAX_INSTRUCTION = 200
TRIPLET_FIELDS = tuple(field.name for field in fields(Triplet))
TRIPLET_COLUMNS = TRIPLET_FIELDS[:3]  # the texts, which public data has
PAIR_COLUMNS = tuple(field.name for field in fields(Pair))
PICTURE_COLUMNS = ("original_image", "edited_image")
IMAGE_COLUMNS = (*PICTURE_COLUMNS, "mask")
# What training cannot do without; public data has these three and often no other.
NEEDED_PAIR_COLUMNS = ("original_image", "edit_prompt", "edited_image")

_INTEGERS = ("seed", "num_inference_steps")


def pair_features() -> Features:
    """The features of a dataset of pairs, in the order of `PAIR_COLUMNS`."""
    from datasets import Features, Image, Value

    def feature(name: str) -> Any:
        if name in IMAGE_COLUMNS:
            return Image()
        if name in _INTEGERS:
            return Value("int64")
        texts = (*TRIPLET_COLUMNS, "kind", "method", "model")
        return Value("string") if name in texts else Value("float64")

    return Features({name: feature(name) for name in PAIR_COLUMNS})


def triplet_features() -> Features:
    """The features of a dataset of triplets, in the order of `TRIPLET_FIELDS`."""
    from datasets import Features, Value

    return Features({n: Value("int64" if n in _INTEGERS else "string") for n in TRIPLET_FIELDS})


def png_bytes(image: Image) -> bytes:
    """The image as PNG: lossless, and the same bytes for the same pixels."""
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=6)
    return stream.getvalue()
