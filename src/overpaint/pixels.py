"""What pixels mean: arrays, bit depths, transparency and colour profiles, made plain RGB.

Pure functions over PIL images and arrays; `overpaint.images` puts them in order.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageCms

from overpaint.errors import UserError

if TYPE_CHECKING:
    import numpy as np


def to_8_bits(image: Image.Image, name: str) -> Image.Image:
    """Grey of 16 bits or floating point scaled to 8 bits, where Pillow's `convert` would clip."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    import numpy as np

    pixels = np.asarray(image)
    top = 1.0 if image.mode == "F" else 65535
    if not (pixels.min() >= 0 and pixels.max() <= top):
        raise UserError(
            f"{name} has grey values outside [0, {top:g}], so white is unknown: "
            "save it with 8 or 16 bits a channel."
        )
    grey = Image.fromarray(np.rint(pixels * np.float32(255 / top)).astype(np.uint8))
    if (transparent := image.info.get("transparency")) is not None:
        opaque = Image.fromarray(np.where(pixels == transparent, 0, 255).astype(np.uint8))
        grey = Image.merge("LA", (grey, opaque))
    return grey


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours without and the opacity with 8 bits, None where all is opaque."""
    if image.mode == "La" or (image.mode in ("1", "L") and "transparency" in image.info):
        image = image.convert("LA")
    elif image.mode in ("PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in ("LA", "RGBA"):
        return image, None
    bands = image.split()
    colours = bands[0] if image.mode == "LA" else Image.merge("RGB", bands[:3])
    return colours, bands[-1]


def to_srgb(
    image: Image.Image, profile: bytes | None, name: str, say: Callable[[str], None]
) -> Image.Image:
    """RGB in sRGB; without a profile the colours are taken to be sRGB already."""
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if image.mode == "CMYK" or "sRGB" not in ImageCms.getProfileDescription(source):
                srgb = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
                assert converted is not None  # it is None only with inPlace=True
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            say(f"{name} has a colour profile that cannot be used: its colours are taken as sRGB.")
    return image.convert("RGB") if image.mode != "RGB" else image


def from_array(array: np.ndarray[Any, Any]) -> Image.Image:
    """A PIL image of a checked NumPy array (see `load_image` for shapes and ranges)."""
    import numpy as np

    if not isinstance(array, np.ndarray):
        raise UserError(
            f"a picture cannot be made of a {type(array).__name__}: give a path, an address, "
            "a PIL image or a NumPy array."
        )
    grey, coloured = array.ndim == 2, array.ndim == 3 and array.shape[2] in (3, 4)
    if not (grey or coloured):
        raise UserError(
            f"an array of shape {array.shape} is not a picture: its shape must be (height, width), "
            "(height, width, 3) or (height, width, 4)."
        )
    if 0 in array.shape:
        raise UserError(f"an array of shape {array.shape} holds no pixels: give a larger picture.")
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # false for NaN too
            raise UserError(
                f"an array of {array.dtype} must hold values in [0, 1], but holds "
                f"[{array.min():.4g}, {array.max():.4g}]: scale it, or give uint8 in [0, 255]."
            )
        array = np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise UserError(
            f"an array of {array.dtype} is not a picture: give uint8 in [0, 255] or "
            "floating point in [0, 1]."
        )
    return Image.fromarray(np.ascontiguousarray(array))
