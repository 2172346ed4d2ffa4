"""What cannot be read is refused in one sentence, before it costs memory or time."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overpaint import stills
from overpaint.errors import UserError
from overpaint.images import load_image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def hand_written_png(width: int, height: int) -> bytes:
    """A PNG that claims a size, with hardly any data behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def noise(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(stream, kind)
    return stream.getvalue()


def refusal(source: object, **limits: int) -> str:
    with pytest.raises(UserError) as caught:
        load_image(source, **limits)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("side", [50_000, 11_000, 2**31 - 1])
def test_a_png_bomb_is_refused(side: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(hand_written_png(side, side))
    assert "too large to open safely" in refusal(path)


@pytest.mark.parametrize("side", [50_000, 11_000])
def test_a_png_bomb_costs_no_memory(side: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(hand_written_png(side, side))
    program = (
        "import resource, sys\n"
        "from overpaint.errors import UserError\n"
        "from overpaint.images import load_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: load_image(sys.argv[1])\n"
        "except UserError: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    assert int(done.stdout) < 30_000
    assert done.stderr == ""


def test_the_pixel_limit_is_the_callers_to_lower() -> None:
    image = Image.new("RGB", (100, 100))
    load_image(image, max_pixels=10_000)
    assert "9,999" not in refusal(image, max_pixels=9_999)
    assert "100 × 100" in refusal(image, max_pixels=9_999)


def test_a_file_over_the_byte_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as stream:
        stream.truncate(2**40)
    assert "too large to open safely (1,048,576 MiB" in refusal(path)
    assert "too large" in refusal(noise("PNG"), max_bytes=1000)


@pytest.mark.parametrize("size", [(1, 1), (0, 0), (7, 100), (100, 1)])
def test_too_small_a_picture_is_refused(size: tuple[int, int]) -> None:
    assert f"{size[0]} × {size[1]} pixels" in refusal(Image.new("RGB", size))
    stored = hand_written_png(*size)
    assert "pixels" in refusal(stored)
    assert "pixels" in refusal(np.zeros((size[1], size[0], 3), np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.01, 0.2, 0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, part: float, tmp_path: Path) -> None:
    content = noise(kind)
    path = tmp_path / "cut.jpg"
    path.write_bytes(content[: max(8, int(len(content) * part))])
    assert "cut.jpg is damaged, incomplete or without pixels" in refusal(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_scrambled_files_never_raise_anything_else(kind: str) -> None:
    draw = np.random.default_rng(0)
    content = np.frombuffer(noise(kind), np.uint8)
    for _ in range(60):
        scrambled = content.copy()
        places = draw.integers(0, draw.choice([40, len(content)]), 4)
        scrambled[places] = draw.integers(0, 256, 4)
        with suppress(UserError):
            assert load_image(scrambled.tobytes()).mode == "RGB"


def test_a_text_file_named_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.png"
    path.write_text("Dear Sir or Madam,\n")
    assert "letter.png is not a picture that can be read: give PNG, JPEG" in refusal(path)


LEFT_OUT = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n",
    "EPS with a preview": b"\xc5\xd0\xd3\xc6" + struct.pack("<7I", 32, 900, 0, 0, 0, 0, 0) + bytes(900),
    "PDF": b"%PDF-1.4\n" + bytes(100),
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<4hH", 0, 0, 64, 64, 72) + bytes(100),
    "EMF": b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(100),
    "MPEG": b"\0\0\1\xb3" + bytes(100),
    "FLI": struct.pack("<IHHHHHHI", 128, 0xAF11, 1, 64, 64, 8, 0, 70) + bytes(120),
    "IPTC": b"\x1c\x03\x3c\x00\x02\x01\x01" + bytes(100),
    "GRIB": b"GRIB" + bytes(3) + b"\1" + bytes(100),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "BUFR": b"BUFR" + bytes(100),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
}  # fmt: skip


@pytest.mark.parametrize("kind", list(LEFT_OUT))
def test_what_another_program_would_draw_is_not_opened(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow hands some formats to Ghostscript or the operating system."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("another program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    sentence = refusal(LEFT_OUT[kind])
    words = "is PostScript" if kind.startswith("EPS") else "is not a picture that can be read"
    assert words in sentence


def test_every_other_decoder_of_pillow_s_is_used() -> None:
    Image.init()
    refused = set(Image.OPEN) - set(stills.COMMON) - set(stills.other_formats())
    assert refused <= set("EPS WMF EMF IPTC BUFR GRIB HDF5 FPX MIC PDF MPEG FLI".split())


def icon(side: int) -> bytes:
    """An icon whose directory says 16 × 16 and whose picture claims another size."""
    png = hand_written_png(side, side)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + png


BOMBS = {
    **{f"ICO of {side}": icon(side) for side in (10_500, 12_000, 50_000)},
    "BMP": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 10**6, 0, 0, 54, 40, 40_000, 40_000, 1, 24,
                               0, 0, 0, 0, 0, 0) + bytes(1000),
    "PPM": b"P6 40000 40000 255\n" + bytes(1000),
    "TGA": struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 60_000, 60_000, 24, 0) + bytes(99),
    "QOI": b"qoif" + struct.pack(">IIBB", 6000, 6000, 3, 0) + b"\xfd" * 1000,
    "GIF": b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0) + b"," + bytes(99),
    "PSD": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 30_000, 30_000, 8, 3) + bytes(99),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(BOMBS))
def test_a_bomb_of_any_format_is_refused(kind: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "too large to open safely" in refusal(BOMBS[kind])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_things_that_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    assert "is empty" in refusal(tmp_path / "empty.png")
    assert "is a folder" in refusal(tmp_path)
    assert "is not an ordinary file" in refusal(tmp_path / "pipe.png")
    assert "there is no such file" in refusal(str(tmp_path / "none.png"))
    assert "not a directory" in refusal(tmp_path / "empty.png" / "below.png")
    assert "no picture was given" in refusal("")
    assert "null byte" in refusal("a\0b.png")
    assert "too long" in refusal("x" * 5000)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(noise("PNG"))
    path.chmod(0)
    if os.access(path, os.R_OK):  # the superuser may read everything

        def denied(*_: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("builtins.open", denied)
    assert "permission denied; allow reading it" in refusal(path)


def test_a_name_cannot_break_the_line() -> None:
    assert "cannot read a b.png" in refusal("a\nb.png")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((16, 16, 2), np.uint8), "shape (16, 16, 2)"),
        (np.zeros((3, 16, 16), np.uint8), "shape (3, 16, 16)"),
        (np.zeros(16, np.uint8), "shape (16,)"),
        (np.zeros((16, 16), np.int64), "array of int64"),
        (np.zeros((16, 16), np.uint16), "array of uint16"),
        (np.zeros((16, 16), bool), "array of bool"),
        (np.full((16, 16, 3), 255.0), "must hold values in [0, 1], but holds [255, 255]"),
        (np.full((16, 16, 3), -1.0), "must hold values in [0, 1]"),
        (np.full((16, 16), np.nan), "must hold values in [0, 1]"),
        ([[0.0]], "of a list"),
        (None, "of a NoneType"),
    ],
)
def test_arrays_of_the_wrong_kind(array: object, words: str) -> None:
    assert words in refusal(array)


def test_grey_values_without_a_known_white_are_refused() -> None:
    assert "outside [0, 1]" in refusal(Image.fromarray(np.full((16, 16), 2, np.float32)))
    assert "outside [0, 255]" in refusal(Image.fromarray(np.full((16, 16), -1, np.int32)))
