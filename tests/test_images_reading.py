"""Whatever a picture is stored as, it is read as the RGB picture that a viewer would show."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from overpaint.images import is_plain_rgb, load_image

ORIENTATION = 0x0112
# How a camera stores an upright picture for each orientation: the inverse of what undoes it.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.fixture
def upright() -> Image.Image:
    """A picture of 24 × 16 whose corners all differ."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12], pixels[:8, 12:] = (255, 0, 0), (0, 255, 0)
    pixels[8:, :12], pixels[8:, 12:] = (0, 0, 255), (255, 255, 0)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def assert_same(image: Image.Image, expected: Image.Image) -> None:
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_exif_orientation_comes_upright(
    upright: Image.Image, orientation: int, kind: str
) -> None:
    turn = STORED_AS[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert_same(load_image(encoded(stored, kind, exif=exif)), upright)


def test_a_jpeg_photo_comes_upright(upright: Image.Image) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    image = load_image(encoded(stored, "JPEG", exif=exif, quality=100, subsampling=0))
    assert image.size == upright.size
    assert np.abs(np.asarray(image, int) - np.asarray(upright, int)).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_format_is_read_from_path_and_bytes(
    upright: Image.Image, kind: str, tmp_path: Path
) -> None:
    content = encoded(upright, kind, **({"lossless": True} if kind == "WEBP" else {}))
    path = tmp_path / "misnamed.jpg"
    path.write_bytes(content)
    assert_same(load_image(path), upright)
    assert_same(load_image(str(path)), upright)
    assert_same(load_image(content), upright)


def test_a_pil_image_is_copied_and_left_alone(upright: Image.Image) -> None:
    upright.info["exif"] = b"kept"
    image = load_image(upright)
    image.putpixel((0, 0), (1, 2, 3))
    assert upright.getpixel((0, 0)) == (255, 0, 0)
    assert upright.info == {"exif": b"kept"}


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "HSV", "YCbCr"])
def test_other_colour_modes_become_rgb(mode: str) -> None:
    grey = Image.new("RGB", (16, 16), "white").convert(mode)
    low = np.asarray(load_image(grey)).min()
    assert low >= 254


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(16, axis=0)
    for kind in ("PNG", "TIFF"):
        image = load_image(encoded(Image.fromarray(ramp), kind))
        np.testing.assert_array_equal(np.asarray(image)[0, :, 0], np.arange(256))


def test_floating_point_grey_is_scaled() -> None:
    grey = Image.fromarray(np.full((16, 16), 0.5, np.float32))
    assert load_image(encoded(grey, "TIFF")).getpixel((0, 0)) == (128, 128, 128)


def transparent_palette() -> Image.Image:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 8, 16))
    image.info["transparency"] = 0
    return image


def transparent_grey_16() -> Image.Image:
    pixels = np.zeros((16, 16), np.uint16)
    pixels[:, :8] = 4660
    image = Image.fromarray(pixels)
    image.info["transparency"] = 4660
    return image


def half_clear(mode: str) -> Image.Image:
    image = Image.new(mode, (16, 16))
    image.putalpha(Image.new("L", (16, 16), 255))
    image.paste(Image.new(mode, (8, 16)), (0, 0))
    return image


@pytest.mark.parametrize(
    "make",
    [
        lambda: half_clear("RGBA"),
        lambda: half_clear("LA"),
        transparent_palette,
        transparent_grey_16,
    ],
    ids=["RGBA", "LA", "P", "16-bit grey"],
)
def test_transparent_parts_are_laid_on_white_with_a_note(make: Callable[[], Image.Image]) -> None:
    notes: list[str] = []
    source = make()
    image = load_image(source, note=notes.append)
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((15, 15)) != (255, 255, 255)
    assert notes == ["the picture has transparent parts: they were laid on white."]
    with_info = {"transparency": t} if (t := source.info.get("transparency")) is not None else {}
    assert_same(load_image(encoded(source, "PNG", **with_info)), image)


def test_half_transparent_red_on_white_is_pink() -> None:
    assert load_image(Image.new("RGBA", (16, 16), (255, 0, 0, 128))).getpixel((0, 0)) == (
        255,
        127,
        127,
    )


def test_an_opaque_alpha_channel_needs_no_note() -> None:
    notes: list[str] = []
    load_image(Image.new("RGBA", (16, 16), (10, 20, 30, 255)), note=notes.append)
    assert notes == []


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame_with_a_note(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    notes: list[str] = []
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    red = load_image(content, note=notes.append).getpixel((0, 0))
    assert np.abs(np.subtract(red, (255, 0, 0))).max() <= 4
    assert notes == ["the content has several frames: the first one is used."]


def linear_light_profile(name: bytes = b"linear") -> bytes:
    """A minimal ICC profile: the primaries of sRGB (adapted to D50) with a straight tone curve."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, 256) + bytes(2)
    words = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + bytes(82)
    tags = {
        b"rXYZ": b"XYZ " + bytes(4) + fixed(0.4361, 0.2225, 0.0139),
        b"gXYZ": b"XYZ " + bytes(4) + fixed(0.3851, 0.7169, 0.0971),
        b"bXYZ": b"XYZ " + bytes(4) + fixed(0.1431, 0.0606, 0.7142),
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
        b"desc": words,
        b"cprt": b"text" + bytes(4) + b"none\0" + bytes(3),
    }
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        offset = 128 + 4 + 12 * len(tags) + len(data)
        table += name + struct.pack(">II", offset, len(content))
        data += content
    header = struct.pack(">I4sI4s4s4s", 132 + 12 * len(tags) + len(data), b"", 0x02100000,
                         b"mntr", b"RGB ", b"XYZ ")  # fmt: skip
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + table + data


def test_a_colour_profile_is_converted_to_srgb() -> None:
    """Linear light of 60/255 is 133/255 after sRGB's curve (1.055 x^(1/2.4) - 0.055)."""
    notes: list[str] = []
    dark = Image.new("RGB", (16, 16), (60, 60, 60))
    content = encoded(dark, "PNG", icc_profile=linear_light_profile())
    image = load_image(content, note=notes.append)
    assert notes == []
    assert np.abs(np.subtract(image.getpixel((0, 0)), 133)).max() <= 1
    assert "icc_profile" not in image.info


@pytest.mark.parametrize("name", [b"Linear sRGB", b"sRGB IEC61966-2.1", b"not s R G B"])
@pytest.mark.parametrize("mode", ["RGB", "P", "L"])
def test_a_profile_is_judged_by_its_curves_not_by_its_name(name: bytes, mode: str) -> None:
    """Also where the picture is grey or has a palette, and its profile is one of RGB."""
    dark = Image.new("RGB", (16, 16), (60, 60, 60))
    dark = dark.quantize(4) if mode == "P" else dark.convert(mode)
    notes: list[str] = []
    content = encoded(dark, "PNG", icc_profile=linear_light_profile(name))
    image = load_image(content, note=notes.append)
    assert np.abs(np.subtract(image.getpixel((0, 0)), 133)).max() <= 1
    assert notes == []


def test_srgb_by_another_name_is_not_touched(upright: Image.Image) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = profile.replace("sRGB".encode("utf-16-be"), "ACME".encode("utf-16-be"))
    assert renamed != profile
    noise = Image.effect_noise((32, 32), 90).convert("RGB")
    assert_same(load_image(encoded(noise, "PNG", icc_profile=renamed)), noise)


def test_lab_is_converted() -> None:
    """White, black and a red, made by the colour management that viewers use."""
    colours = Image.new("RGB", (24, 8), "white")
    colours.paste((0, 0, 0), (8, 0, 16, 8))
    colours.paste((200, 30, 40), (16, 0, 24, 8))
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    stored = ImageCms.profileToProfile(colours, srgb, lab, outputMode="LAB")
    assert stored is not None
    notes: list[str] = []
    image = load_image(encoded(stored, "TIFF"), note=notes.append)
    assert np.abs(np.asarray(image, int) - np.asarray(colours, int)).max() <= 5
    assert notes == []


def grey_tiff(values: np.ndarray, bits: int, sample_format: int = 1) -> bytes:
    """A grey TIFF of one strip, its values written with this many bits."""
    kind = {8: "B", 16: "H", 32: "I"}[bits] if sample_format == 1 else {16: "h", 32: "i"}[bits]
    pixels = struct.pack(f"<{values.size}{kind}", *values.ravel().tolist())
    height, width = values.shape
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1),
            (273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(pixels)),
            (339, 3, sample_format)]  # fmt: skip
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    entries = b"".join(struct.pack("<HHII", tag, t, 1, value) for tag, t, value in tags)
    return head + struct.pack("<H", len(tags)) + entries + bytes(4)


RAMP = np.arange(256)[None].repeat(16, axis=0)


@pytest.mark.parametrize(
    ("bits", "signed", "white", "note"),
    [
        (16, False, 65535, False),
        (16, True, 32767, False),
        (32, True, 2**31 - 1, False),
        (32, True, 65535, True),  # 32 bits that hold what 16 would
        (32, True, 255, True),
        (32, False, 255, True),
    ],
)
def test_deep_grey_is_scaled_by_the_depth_of_its_file(
    bits: int, signed: bool, white: int, note: bool
) -> None:
    values = (RAMP * (white / 255)).astype(np.int64)
    notes: list[str] = []
    content = grey_tiff(values, bits, 2 if signed else 1)
    image = load_image(content, note=notes.append)
    assert np.abs(np.asarray(image)[0, :, 0].astype(int) - np.arange(256)).max() <= 1
    assert bool(notes) == note


def test_a_dark_picture_of_16_bits_stays_dark() -> None:
    dark = np.full((16, 16), 200, np.uint16)
    for kind in ("PNG", "TIFF"):
        assert load_image(encoded(Image.fromarray(dark), kind)).getpixel((0, 0)) == (1, 1, 1)
    text = b"P5 16 16 65535\n" + dark.astype(">u2").tobytes()
    assert load_image(text).getpixel((0, 0)) == (1, 1, 1)


@pytest.mark.parametrize(("top", "stored"), [(255, 128), (65535, 32896), (2**31 - 1, 2**30)])
def test_integers_in_memory_are_scaled_by_their_range(top: int, stored: int) -> None:
    image = Image.new("I", (16, 16), stored)
    image.putpixel((0, 0), top)
    grey = load_image(image)
    assert grey.getpixel((0, 0)) == (255, 255, 255)
    assert abs(grey.getpixel((9, 9))[0] - 128) <= 1


STILLS = {
    "AVIF": "RGB", "JPEG2000": "RGB", "PPM": "RGB", "ICO": "RGB", "ICNS": "RGB", "TGA": "RGB",
    "PCX": "RGB", "DDS": "RGB", "SGI": "RGB", "IM": "RGB", "DIB": "RGB", "QOI": "RGB",
    "JPEG": "RGB", "XBM": "1", "MSP": "1", "BLP": "P", "SPIDER": "F",
}  # fmt: skip


@pytest.mark.parametrize("kind", list(STILLS))
def test_every_still_format_that_pillow_reads_is_read(kind: str, tmp_path: Path) -> None:
    """From its content, whatever the file is called."""
    mode = STILLS[kind]
    colour = (250, 0, 5) if mode in ("RGB", "P") else (255, 255, 255)
    source = Image.new("RGB", (128, 128), colour)
    source = Image.new("F", (128, 128), 1.0) if mode == "F" else source.convert(mode)
    path = tmp_path / "misnamed.txt"
    path.write_bytes(encoded(source, kind))
    image = load_image(path)
    assert image.size == ((1024, 1024) if kind == "ICNS" else (128, 128))  # Pillow's writer
    assert np.abs(np.subtract(image.getpixel((64, 64)), colour)).max() <= 8


def test_srgb_pixels_are_not_touched(upright: Image.Image) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert_same(load_image(encoded(upright, "PNG", icc_profile=profile)), upright)


def test_an_unusable_colour_profile_is_a_note_not_a_failure(upright: Image.Image) -> None:
    notes: list[str] = []
    content = encoded(upright, "PNG", icc_profile=b"not a profile")
    assert_same(load_image(content, note=notes.append), upright)
    assert len(notes) == 1
    assert "colour profile" in notes[0]


def test_broken_exif_is_no_reason_to_refuse_a_picture(upright: Image.Image) -> None:
    assert_same(load_image(encoded(upright, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff")), upright)


@pytest.mark.parametrize("channels", [None, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_arrays_of_every_shape_and_type(channels: int | None, dtype: type) -> None:
    shape = (16, 24) if channels is None else (16, 24, channels)
    array = np.full(shape, 255 if dtype is np.uint8 else 1, dtype)
    array[:, 0, ...] = 51 if dtype is np.uint8 else 0.2
    if channels == 4:
        array[..., 3] = 255 if dtype is np.uint8 else 1
    image = load_image(array)
    assert image.size == (24, 16)
    assert image.getpixel((0, 0)) == (51, 51, 51)
    assert image.getpixel((23, 15)) == (255, 255, 255)


def test_an_array_with_negative_strides_is_read(upright: Image.Image) -> None:
    flipped = np.asarray(upright)[:, ::-1]
    assert_same(load_image(flipped), upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def _with(**info: object) -> Image.Image:
    image = Image.new("RGB", (16, 16), "red")
    image.info.update(info)
    return image


def _turned() -> Image.Image:
    image = Image.new("RGB", (16, 16), "red")
    image.getexif()[0x0112] = 6
    return image


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGBA", (16, 16)),
        Image.new("L", (16, 16)),
        Image.new("RGB", (4, 16)),
        _with(transparency=(255, 0, 0)),
        _with(icc_profile=b"odd"),
        _turned(),
        "a.png",
    ],
)
def test_only_a_picture_that_loading_leaves_alone_is_plain(image: object) -> None:
    assert not is_plain_rgb(image)


def test_a_loaded_picture_is_plain() -> None:
    loaded = load_image(_with(transparency=(255, 0, 0)))
    assert is_plain_rgb(loaded)
    assert load_image(loaded).tobytes() == loaded.tobytes()
