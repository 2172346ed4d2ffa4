"""From a template and values to one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from overpaint import __version__
from overpaint.text import printable_lines

if TYPE_CHECKING:
    from PIL import Image

LARGEST_SIDE = 384  # pixels of a picture inside a page


BASE = "base.html.jinja"
"""What every page extends: `{% extends "base.html.jinja" %}`."""


def render(
    template: str,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    *,
    script: str = "",
    **values: Any,
) -> str:
    """The page of a jinja template that extends `BASE`; `script` is JavaScript of ours.

    Every text among the values is escaped and without control characters, as `printable`, but for
    `markupsafe.Markup`. A name that the template uses and nobody gives is an error.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=DictLoader({BASE: read_part("overpaint.html", BASE)}), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_plain,
    )  # fmt: skip
    environment.filters |= {"columns": columns, **(filters or {})}
    return environment.from_string(template).render(
        style=Markup(page_style()), script=Markup(script), version=__version__, **values
    )


def columns(count: int, most: int) -> int:
    """Columns, at most `most`, in which `count` pictures fill lines as evenly as they can.

    The last line has at least two pictures where `most` is 3 or more and `count` at most 6.
    """
    lines = -(-count // most)
    return -(-count // max(1, lines))


def _plain(value: Any) -> Any:
    """What a template prints of a value; ours alone comes as Markup, whose class is not `str`."""
    return printable_lines(value) if type(value) is str else value


def page_style() -> str:
    """The style sheet that all pages share; `plots` counts on its classes."""
    return read_part("overpaint.html", "page.css")


def read_part(package: str, name: str) -> str:
    """A text file of a package of ours: a template, a style, a script."""
    return files(package).joinpath(*name.split("/")).read_text(encoding="utf-8")


def data_address(image: Image.Image, largest_side: int = LARGEST_SIDE) -> str:
    """A picture inside the page: PNG where it is small, else WebP of at most `largest_side` px."""
    from PIL import Image as Pillow

    stream = io.BytesIO()
    if max(image.size) <= 128:
        image.save(stream, format="PNG", optimize=True)
        kind = "png"
    else:
        image = image.copy()
        image.thumbnail((largest_side, largest_side), Pillow.Resampling.LANCZOS)
        image.save(stream, format="WEBP", quality=88)
        kind = "webp"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
