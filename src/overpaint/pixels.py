"""What pixels mean: arrays, bit depths, transparency and colour profiles, made plain RGB.

Pure functions over PIL images and arrays. `overpaint.images` opens what strangers give, checks its
size, and calls `plain_rgb` once.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageCms

from overpaint.errors import UserError

if TYPE_CHECKING:
    import numpy as np


# Tags of TIFF, which alone of the formats tells depth and sign apart where Pillow's mode does not.
_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE, _SAMPLE_FORMAT = 258, 281, 339
_SIGNED = 2


def plain_rgb(
    image: Image.Image, file: Image.Image, name: str, say: Callable[[str], None]
) -> Image.Image:
    """A decoded, upright picture as opaque RGB in sRGB, 8 bits a channel, without metadata.

    `file` is the picture as it was opened: what it says of white and of colours is lost when it is
    turned. Transparent parts are laid on white; `say` gets a sentence on what was lost, `name` is
    how messages call the picture.

    Raises:
        UserError: its grey values do not tell what is white.
    """
    colours, alpha = split_alpha(to_8_bits(image, white_level(file), name, say))
    rgb = to_srgb(colours, file.info.get("icc_profile"), name, say)
    if alpha is not None and alpha.getextrema()[0] != 255:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
        say(f"{name} has transparent parts: they were laid on white.")
    rgb.info = {}
    return rgb


def white_level(image: Image.Image) -> int | None:
    """The value that the file of a grey picture calls white; None where it does not say.

    Pillow's mode does not tell: "I" holds 8, 16 or 32 bits, "I;16" also 12.
    """
    if not image.mode.startswith("I"):
        return None
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        # Netpbm's pictures are scaled to 16 bits; "I" of other origin says nothing.
        return 65535 if image.mode != "I" or image.format == "PPM" else None
    if highest := tags.get(_MAX_SAMPLE_VALUE):
        return int(highest[0] if isinstance(highest, tuple) else highest)
    bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
    signed = _SIGNED in tags.get(_SAMPLE_FORMAT, ())
    return int(2 ** (bits - signed) - 1)


def to_8_bits(
    image: Image.Image, white: int | None, name: str, say: Callable[[str], None]
) -> Image.Image:
    """Grey of more than 8 bits scaled to 8, where Pillow's `convert` would clip.

    `white` is what `white_level` found. Where the file does not say, and where it has 32 bits
    that a picture of fewer bits was put into, the values decide between 8, 16 and 32 bits.
    """
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    import numpy as np

    pixels = np.asarray(image)
    top: float = 1.0
    if image.mode != "F":
        top, said = _top(int(pixels.max()), white), white
        if said is not None and top != said:
            say(f"{name} uses little of its range: white is taken to be {top:g}.")
    if not (pixels.min() >= 0 and pixels.max() <= top):
        raise UserError(
            f"{name} has grey values outside [0, {top:g}], so white is unknown: "
            "save it with 8 or 16 bits a channel."
        )
    # In 64 bits only where 24 do not hold the values.
    scale = np.float64(255 / top) if top > 65535 else np.float32(255 / top)
    grey = Image.fromarray(np.rint(pixels * scale).astype(np.uint8))
    if (transparent := image.info.get("transparency")) is not None:
        opaque = Image.fromarray(np.where(pixels == transparent, 0, 255).astype(np.uint8))
        grey = Image.merge("LA", (grey, opaque))
    return grey


def _top(largest: int, white: int | None) -> int:
    if white is not None and (white <= 65535 or largest > 65535):
        return white
    return next(top for top in (255, 65535, 2**31 - 1) if largest <= top)


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
    if image.mode == "LAB":
        return _converted(image, ImageCms.createProfile("LAB"))
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if image.mode == "L" and source.profile.xcolor_space.strip() == "RGB":
                image = image.convert("RGB")
            if not _is_srgb(source, image.mode):
                return _converted(image, source)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            say(f"{name} has a colour profile that cannot be used: its colours are taken as sRGB.")
    return image.convert("RGB") if image.mode != "RGB" else image


def _converted(image: Image.Image, source: Any) -> Image.Image:
    """`image` in the colours of a profile → RGB in sRGB."""
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    assert converted is not None  # it is None only with inPlace=True
    return converted


_SAME_LEVELS = 2  # of 255: profiles of sRGB differ so from each other by how they were rounded


def _is_srgb(source: Any, mode: str) -> bool:
    """Whether a profile's curves and primaries are those of sRGB, whatever it is called.

    They are if colours from all over the cube (or all greys) come through it unchanged.
    """
    if mode == "CMYK":
        return False
    import numpy as np

    if mode == "L":
        probe = Image.frombytes("L", (256, 1), bytes(range(256)))
    else:
        levels = np.linspace(0, 255, 9).round().astype(np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
        probe = Image.fromarray(cube.reshape(9, 81, 3))
    seen = np.asarray(_converted(probe, source), int)
    return bool(np.abs(seen - np.asarray(probe.convert("RGB"), int)).max() <= _SAME_LEVELS)


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
