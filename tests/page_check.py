"""What every page of ours must be: well-formed, in one file, and readable without pictures."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "img", "hr", "input", "wbr"}
_SHAPES = {"line", "circle", "polygon", "polyline", "rect", "path"}  # of SVG, closed by "/>"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, dict(attrs))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _SHAPES, f"<{tag}/>"
        self._note(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def _note(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tags.append(f"svg {tag}" if "svg" in self.open else tag)  # a plot has titles, too
        names = ("src", "href", "action", "data", "poster", "srcset")
        self.addresses += [attributes[name] or "" for name in names if name in attributes]
        self.ids += [attributes["id"] or ""] if "id" in attributes else []
        assert not [name for name in attributes if name.startswith("on")], attributes
        if tag == "img":
            assert attributes.get("alt"), "a picture without words"


def check_page(page: str) -> None:
    """Fails where a page is not well-formed, asks for anything, or links to nothing of its own."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    for address in reader.addresses:
        assert address.startswith(("data:", "#")), address
        if address.startswith("#"):
            assert address[1:] in reader.ids, address
    assert reader.tags.count("h1") == reader.tags.count("title") == 1
    assert "default-src 'none'" in page
    style = page.partition("<style>")[2].partition("</style>")[0]
    for outside in ("@import", "url(", "http"):
        assert outside not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert ("script-src" in page) == ("script" in reader.tags)
    assert not re.search(r"\{\{|\{%", page), "a piece of a template"
