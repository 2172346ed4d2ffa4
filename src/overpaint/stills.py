"""Which formats of still pictures are read: all of Pillow's whose decoders keep to the file.

Left out are decoders that start another program or ask the operating system to draw, that open
whatever they find inside with any decoder, that know a format without reading it, and films.
"""

from __future__ import annotations

from functools import cache

from PIL import Image

_LEFT_OUT = {
    "EPS",  # a program, which Ghostscript would run
    *("WMF", "EMF"),  # drawn by the operating system
    "IPTC",  # opens what it holds with every decoder there is
    *("BUFR", "GRIB", "HDF5"),  # known by name only
    *("FPX", "MIC", "PDF"),  # documents
    *("MPEG", "FLI"),  # films
}
# Pillow decodes these in Python, slowly and with a list entry for every pixel or row.
_IN_PYTHON = {"BLP", "FITS", "MSP", "QOI", "XPM"}
MAX_PIXELS_IN_PYTHON = 16_000_000

COMMON = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats whose decoders are imported at once; the others cost a tenth of a second."""
READABLE = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or JPEG 2000"
"""The best known of the formats, for messages."""

CONTAINERS = {"ICO", "ICNS", "CUR"}
"""Their heads say less of the size than the pictures inside."""
WITH_FRAMES = {"GIF", "PNG", "WEBP", "TIFF", "AVIF", "DCX"}

# How a file of a format begins: tells "damaged" from "not a picture".
_SIGNATURES = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"GIF87a", b"GIF89a", b"BM"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"8BPS", b"\0\0\1\0", b"\0\0\2\0", b"icns"),
    *(b"qoif", b"DDS ", b"SIMPLE", b"BLP1", b"BLP2", b"\x59\xa6\x6a\x95", b"/* XPM"),
)
_PROGRAMS = (b"%!PS", b"\xc5\xd0\xd3\xc6")


@cache
def other_formats() -> tuple[str, ...]:
    """The formats beside `COMMON`; last those that any file might seem to be."""
    Image.init()
    names = [n for n in Image.OPEN if n not in _LEFT_OUT and n not in COMMON]
    return tuple(sorted(names, key=lambda name: (Image.OPEN[name][1] is None, name)))


def begins_like_a_picture(start: bytes) -> bool:
    """Whether the first 16 bytes are those of a format that is read."""
    return start.startswith(_SIGNATURES) or start[4:12] in (b"ftypavif", b"ftypavis")


def is_program(start: bytes) -> bool:
    """Whether the first bytes are those of PostScript."""
    return start.startswith(_PROGRAMS)


def most_pixels(kind: str | None, limit: int) -> int:
    """The limit of pixels for a format: smaller where decoding is slow."""
    return min(limit, MAX_PIXELS_IN_PYTHON) if kind in _IN_PYTHON else limit
