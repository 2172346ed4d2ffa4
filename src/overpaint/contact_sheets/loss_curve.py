"""A loss curve as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from overpaint.contact_sheets.lettering import GREY, INK, set_line

WIDTH, HEIGHT = 900, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 40
_COLOURS = ((66, 120, 230), (222, 100, 40), (60, 150, 80), (150, 80, 190))
_TICKS = 5

Point = tuple[float, float]


def draw_curve(series: Mapping[str, Sequence[Point]]) -> Image.Image | None:
    """(step, loss) points, one line a series: RGB of `WIDTH` x `HEIGHT` pixels.

    Points that are no finite number are left out; without any there is no picture.
    """
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for name, points in series.items()
    }
    points = [point for line in finite.values() for point in line]
    if not points:
        return None
    right = max(max(x for x, _ in points), 1)
    low, high = min(y for _, y in points), max(y for _, y in points)
    margin = 0.05 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def place(x: float, y: float) -> Point:
        return (
            _LEFT + x / right * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - (y - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM),
        )

    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    for tick in range(_TICKS + 1):
        value = low + (high - low) * tick / _TICKS
        _, y = place(0, value)
        draw.line([(_LEFT, y), (WIDTH - _RIGHT, y)], fill=(230, 230, 230))
        set_line(f"{value:.2f}", 13).draw(draw, (12, round(y) - 9), GREY)
    set_line("0", 13).draw(draw, (_LEFT, HEIGHT - 30), GREY)
    set_line(f"step {right:g}", 13).draw(draw, (WIDTH - 90, HEIGHT - 30), GREY)
    at = _LEFT
    for (name, line), colour in zip(finite.items(), _COLOURS, strict=False):
        spots = [place(x, y) for x, y in line]
        if len(spots) > 1:
            draw.line(spots, fill=colour, width=2)
        for x, y in spots if len(spots) < 40 else []:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
        draw.line([(at, 22), (at + 22, 22)], fill=colour, width=3)
        words = set_line(name, 14)
        words.draw(draw, (at + 28, 12), INK)
        at += words.width + 60
    return image
