"""Reading and writing pictures safely: what comes in is an upright RGB picture, or a sentence.

Every stage reads pictures here, so that orientation, transparency, 16-bit pixels and colour
profiles are treated in one way, and no file can take the process down with it.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeGuard

from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from overpaint.errors import UserError
from overpaint.files import reason, write_atomic
from overpaint.pixels import from_array, plain_rgb, split_alpha
from overpaint.stills import (
    COMMON,
    CONTAINERS,
    READABLE,
    WITH_FRAMES,
    begins_like_a_picture,
    is_program,
    most_pixels,
    other_formats,
)
from overpaint.text import printable

if TYPE_CHECKING:
    import numpy as np

    ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray[Any, Any]

MIN_SIDE = 8
"""Pixels: below this there is nothing to edit (one latent pixel of SD's autoencoder is 8 × 8)."""
MAX_PIXELS = 100_000_000
"""Width × height: 300 MB once decoded."""
MAX_FILE_BYTES = 256 * 2**20
MAX_DOWNLOAD_BYTES = 32 * 2**20

_WRITTEN_AS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_WRITTEN_AS |= {".tif": "TIFF", ".tiff": "TIFF"}
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
_EXIF_IMAGE_DESCRIPTION = 0x010E

# What Pillow's parsers are known to raise on files that are broken, or made to break them.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError),
    *(ArithmeticError, AssertionError, MemoryError, RuntimeError, struct.error, zlib.error),
)

_SHOWN = 200  # characters of a path in a message

_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_warnings_lock = threading.Lock()

# Pillow logs some of what it raises; without this it would reach stderr beside our sentence.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class _Limits:
    min_side: int
    max_pixels: int

    def check(self, size: tuple[int, int], name: str) -> None:
        width, height = size
        if min(size) < self.min_side:
            raise UserError(
                f"{name} is {width} × {height} pixels: each side must have at least "
                f"{self.min_side}; use a larger picture."
            )
        if width * height > self.max_pixels:
            raise self.too_large(name, f"{width:,} × {height:,}")

    def too_large(self, name: str, size: str) -> UserError:
        return UserError(
            f"{name} is too large to open safely ({size} pixels; the limit is "
            f"{self.max_pixels / 1e6:,.4g} million): make it smaller first."
        )


def load_image(
    source: ImageSource,
    *,
    note: Callable[[str], None] | None = None,
    min_side: int = MIN_SIDE,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int | None = None,
) -> Image.Image:
    """Read a picture as a new, upright, opaque RGB image in sRGB, 8 bits a channel.

    `source` is one of

    - a path (str or Path) of a still picture in any format of Pillow's but those that start
      another program (PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, PPM, ICO, TGA, ...; see
      `overpaint.stills`), or such a file's bytes;
    - an http or https address on the public internet (a str; see `overpaint.net.fetch`);
    - a PIL image;
    - a NumPy array, height × width × 3 or 4 (RGB, RGBA) or height × width (grey), of uint8
      in [0, 255] or of floating point in [0, 1].

    EXIF orientation is applied, deeper pixels are scaled to 8 bits and a colour profile is
    converted to sRGB, unless its curves and primaries are those of sRGB. `note`, when given, is called with a sentence when something was lost:
    transparent parts (laid on white), later frames, a colour profile that cannot be used.

    Before pixels are decoded it is checked that each side has at least `min_side` pixels, that
    there are at most `max_pixels` (Pillow refuses more than 179 million whatever is asked for),
    and at most `max_bytes` (None: `MAX_FILE_BYTES`; for an address `MAX_DOWNLOAD_BYTES`).

    Raises:
        UserError: says what is wrong with the picture and what to do.
    """
    say, limits = note or _say_nothing, _Limits(min_side, max_pixels)
    if isinstance(source, Image.Image):
        return _upright_rgb(source, "the picture", limits, say)
    if isinstance(source, bytes):
        _check_bytes(len(source), "the content", max_bytes or MAX_FILE_BYTES)
        return _decode(io.BytesIO(source), "the content", limits, say)
    if isinstance(source, str) and is_url(source):
        from overpaint.net.fetch import fetch, shown_url  # requests takes 0.1 s to import

        content = fetch(source, max_bytes=max_bytes or MAX_DOWNLOAD_BYTES)
        return _decode(io.BytesIO(content), printable(shown_url(source)), limits, say)
    if isinstance(source, str | os.PathLike):
        with _open_file(os.fspath(source), max_bytes or MAX_FILE_BYTES) as stream:
            return _decode(stream, _shown(source), limits, say)
    return _upright_rgb(from_array(source), "the array", limits, say)


def is_plain_rgb(source: object) -> TypeGuard[Image.Image]:
    """Whether `load_image` would copy this picture as it is, and have nothing to say of it."""
    return (
        type(source) is Image.Image  # files that Pillow opened are of other classes
        and (source.mode, source.info, dict(source.getexif())) == ("RGB", {}, {})
        and min(source.size) >= MIN_SIDE
        and source.width * source.height <= MAX_PIXELS
    )


def load_opacity(source: bytes) -> Image.Image | None:
    """The opacity (mode L) of a picture file's content, for masks that are kept in it.

    None where the content is no picture that `load_image` would read, or has no opacity.
    """
    try:
        with _without_warnings():
            image = _open_still(io.BytesIO(source))
        with image:
            _Limits(1, most_pixels(image.format, MAX_PIXELS)).check(image.size, "the mask")
            _load(image)
            return split_alpha(image)[1]
    except (UserError, *_BOMB, *_BROKEN):
        return None


def save_image(
    image: Image.Image, path: str | Path, *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write `image` whole or not at all, in the format that the suffix of `path` names.

    JPEG and WebP are written at quality 95. `metadata` goes into the file: as text chunks of a
    PNG, else as one JSON object in the EXIF image description.

    Raises:
        UserError: unknown suffix, a picture that the format cannot hold, a folder that cannot
            be written, a full disk, ...
    """
    kind = _format_for(path)
    options: dict[str, Any] = dict(_SAVE_OPTIONS[kind])
    if metadata and kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        for key, value in metadata.items():
            options["pnginfo"].add_itxt(key, value)
    elif metadata:
        options["exif"] = Image.Exif()
        options["exif"][_EXIF_IMAGE_DESCRIPTION] = json.dumps(dict(metadata))
    content = io.BytesIO()
    try:
        image.convert("RGB").save(content, format=kind, **options)
    except _BROKEN as error:
        raise UserError(
            f"cannot write {_shown(path)}: {kind} cannot hold a picture of {image.width:,} × "
            f"{image.height:,} pixels; choose .png or make it smaller."
        ) from error
    write_atomic(path, content.getvalue())


def saved_metadata(path: str | Path) -> dict[str, str]:
    """The `metadata` with which `save_image` wrote a file; empty if it holds none, or is no picture."""
    try:
        with _without_warnings(), Image.open(path, formats=sorted(_SAVE_OPTIONS)) as image:
            if image.format == "PNG":
                found: Any = {k: v for k, v in image.info.items() if isinstance(v, str)}
            else:
                found = json.loads(image.getexif().get(_EXIF_IMAGE_DESCRIPTION, ""))
    except (*_BROKEN, Image.DecompressionBombError):
        return {}
    return {str(k): v for k, v in found.items()} if isinstance(found, dict) else {}


def check_can_save(path: str | Path) -> None:
    """Find out before hours of work what `save_image` would refuse (not a full disk).

    Raises:
        UserError: unknown suffix, `path` is a folder, or its folder cannot be written.
    """
    _format_for(path)
    path = Path(path)
    if path.is_dir():
        raise UserError(f"cannot write {_shown(path)}: it is a folder; give the name of a file.")
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"cannot write {_shown(path)}: {_shown(folder)} is not a folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"cannot write {_shown(path)}: the folder {_shown(folder)} is not writable; "
            "choose another one."
        )


def is_url(source: str) -> bool:
    """Whether a string is an address (`scheme://...`, `data:...`) rather than a path."""
    return re.match(r"[a-z][a-z0-9+.-]*://|data:", source, re.IGNORECASE) is not None


@contextmanager
def _open_file(path: str, max_bytes: int) -> Iterator[BinaryIO]:
    """An ordinary file of at most `max_bytes`, open for reading."""
    name = _shown(path)
    if not path:
        raise UserError("no picture was given: give the path or the address of one.")
    try:
        # A pipe or a device would block or never end; asking before opening avoids both.
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{name} is a folder, not a picture: give the path of a picture file.")
        if not stat.S_ISREG(mode):
            raise UserError(f"{name} is not an ordinary file: give the path of a picture file.")
        with open(path, "rb") as stream:
            _check_bytes(os.fstat(stream.fileno()).st_size, name, max_bytes)
            yield stream
    except FileNotFoundError as error:
        raise UserError(f"cannot read {name}: there is no such file; check the path.") from error
    except PermissionError as error:
        raise UserError(
            f"cannot read {name}: permission denied; allow reading it (chmod +r) or copy it."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot read {name}: {why}.") from error


def _decode(
    stream: BinaryIO, name: str, limits: _Limits, say: Callable[[str], None]
) -> Image.Image:
    """Decode one of the formats that we read, from its content, whatever it is called."""
    start = stream.read(16)
    if not start:
        raise UserError(f"{name} is empty: give a picture ({READABLE}).")
    if is_program(start):
        raise UserError(
            f"{name} is PostScript, a program that draws: it is not run; save it as PNG first."
        )
    try:
        with _without_warnings():
            image = _open_still(stream)
    except _BOMB as error:
        raise limits.too_large(name, "more than is safe") from error
    except _BROKEN as error:
        if begins_like_a_picture(start):
            raise _damaged(name) from error
        raise UserError(f"{name} is not a picture that can be read: give {READABLE}.") from error
    with image:
        rgb = _upright_rgb(image, name, limits, say)
        if _has_more_frames(image):
            say(f"{name} has several frames: the first one is used.")
    return rgb


def _open_still(stream: BinaryIO) -> Image.Image:
    """The picture undecoded; to be called within `_without_warnings`."""
    stream.seek(0)
    try:
        return Image.open(stream, formats=COMMON)
    except UnidentifiedImageError:
        stream.seek(0)
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # icons decode at once
        return Image.open(stream, formats=other_formats())


def _upright_rgb(
    image: Image.Image, name: str, limits: _Limits, say: Callable[[str], None]
) -> Image.Image:
    """A new opaque RGB image without metadata, the way a viewer would show `image`."""
    limits = _Limits(limits.min_side, most_pixels(image.format, limits.max_pixels))
    limits.check(image.size, name)
    try:
        _load(image)
    except _BOMB as error:
        raise limits.too_large(name, "more than is safe") from error
    except _BROKEN as error:
        raise _damaged(name) from error
    limits.check(image.size, name)  # an icon's head does not always say what it holds
    try:
        with _without_warnings():
            upright = ImageOps.exif_transpose(image)
    except _BROKEN:  # broken EXIF is no reason to refuse good pixels
        upright = image.copy()
    try:
        return plain_rgb(upright, image, name, say)
    except _BROKEN as error:
        raise UserError(
            f"{name} stores its colours as {upright.mode}, which cannot be converted: "
            "save it as RGB first."
        ) from error


def _load(image: Image.Image) -> None:
    """Decode the pixels; of a container of pictures only what Pillow calls safe."""
    if image.format not in CONTAINERS:
        image.load()
        return
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image.load()


def _has_more_frames(image: Image.Image) -> bool:
    """Whether a file is animated or has pages (a phone's JPEG with a preview in it is neither)."""
    try:
        return image.format in WITH_FRAMES and bool(getattr(image, "is_animated", False))
    except _BROKEN:  # the first frame was good; what follows it is not looked at
        return True


def _format_for(path: str | Path) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITTEN_AS:
        known = ", ".join(_WRITTEN_AS)
        raise UserError(
            f"cannot write {_shown(path)}: the format {suffix or 'without a suffix'} is not known; "
            f"let the name end in one of {known}."
        )
    return _WRITTEN_AS[suffix]


def _check_bytes(size: int, name: str, limit: int) -> None:
    if size > limit:
        raise UserError(
            f"{name} is too large to open safely ({size / 2**20:,.0f} MiB; the limit is "
            f"{limit / 2**20:,.4g} MiB): make it smaller first."
        )


def _damaged(name: str) -> UserError:
    return UserError(
        f"{name} is damaged, incomplete or without pixels: get it again, or save it anew."
    )


def _shown(path: str | os.PathLike[str]) -> str:
    """A path fit for one line of a terminal."""
    name = printable(os.fspath(path))
    return name if len(name) <= _SHOWN else f"{name[: _SHOWN // 2]}…{name[-_SHOWN // 2 :]}"


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Pillow warns on stderr about what is checked here anyway; the filters are the process's."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _say_nothing(_: str) -> None:
    pass
