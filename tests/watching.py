"""What a piece of code opens, connects to and starts, seen by Python itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STARTS = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.")
_CONNECTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "urllib.Request")
_watched: list[tuple[str, str]] | None = None
_hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched is None:
        return
    if event == "open":
        if isinstance(arguments[0], str | bytes | os.PathLike):
            _watched.append((event, os.fsdecode(arguments[0])))
    elif event.startswith(_STARTS + _CONNECTS):
        _watched.append((event, repr(arguments)))


@contextmanager
def nothing_outside(folder: Path) -> Iterator[None]:
    """Fail if the block opens a file outside of `folder`, connects to anything or starts anything.

    Python's own files, those of packages and of the checkout may be opened.
    """
    global _watched, _hooked
    if not _hooked:
        sys.addaudithook(_hook)  # it stays, so there is one for all
        _hooked = True
    _watched = []
    try:
        yield
    finally:
        seen, _watched = _watched, None
    code = [sys.prefix, sys.base_prefix, str(Path(__file__).resolve().parent.parent)]
    allowed = tuple(os.path.realpath(place) + os.sep for place in (folder, *code))
    wrong = [
        (event, what)
        for event, what in seen
        if event != "open" or not os.path.realpath(what).startswith(allowed)
    ]
    assert wrong == []
