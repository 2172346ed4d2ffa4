"""Text that others wrote, made fit for one line of a terminal or a page.

A file's name, a cell, a key of a recipe or a server's answer may hold escape sequences that move
the cursor, characters that turn the direction of writing, or a password. Whatever prints such a
text passes it through `printable`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from itertools import groupby

# ECMA-48 sequences: a command (CSI), a string (OSC, DCS, ...) that
# has an end (one without would take our own words along), or two characters.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"
)
# Control and format characters; the two joiners among them spell emoji and Persian.
_HIDDEN = {"Cc", "Cf"}
_JOINERS = "\u200c\u200d"
_UNKNOWN = "\ufffd"

_SECRET_NAME = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD)$")
_SECRET_LENGTH = 12  # characters: a shorter value of a variable may be an ordinary word
_SECRET = re.compile(
    r"(?<=://)[^/?#\s@]*:[^/?#\s]*(?=@)"  # user:password@ of an address
    r"|(?<=\bBearer )[A-Za-z0-9._~+/=-]{6,}"
    r"|\b(?:sk|pk|rk)-[A-Za-z0-9_-]{12,}"
    r"|\bhf_[A-Za-z0-9]{12,}"
)
_HIDDEN_SECRET = "***"
_PIECE = 8  # characters of a key that tell too much of it: whoever quotes one may cut it short
_PATH = re.compile(r"[~./]|[A-Za-z]:\\")  # a variable such as SSL_KEY may hold the place of a file


def printable(text: object, secrets: Iterable[str] = ()) -> str:
    """`text` in one line: white space folded, without control characters and without keys.

    Gone are escape sequences, other control and format characters (among them those that change
    the direction of writing), lone surrogates, and keys: `secrets`, the values of environment
    variables whose names end in KEY, TOKEN, SECRET or PASSWORD, and what is spelled like one.
    """
    return _without_keys(_visible(" ".join(_SEQUENCE.sub("", str(text)).split())), secrets)


def printable_lines(text: object) -> str:
    """As `printable`, but for a table: lines and the spaces in them stay."""
    lines = _SEQUENCE.sub("", str(text)).split("\n")
    folded = (re.sub(r"[^\S ]", " ", line) for line in lines)
    return "\n".join(_without_keys(_visible(line), ()) for line in folded)


def _visible(line: str) -> str:
    return line if line.isascii() and line.isprintable() else "".join(map(_shown, line))


def _without_keys(line: str, secrets: Iterable[str]) -> str:
    """Done last: a key that a control character had cut in two is whole again by then."""
    for secret in sorted({*secrets, *_secrets_around()} - {""}, key=len, reverse=True):
        line = line.replace(secret, _HIDDEN_SECRET)
        if len(secret) > _PIECE and not _PATH.match(secret):
            line = _without_pieces(line, secret)
    return _SECRET.sub(_HIDDEN_SECRET, line)


def _without_pieces(line: str, secret: str) -> str:
    """`line` without any `_PIECE` or more characters that follow each other in `secret`."""
    starts = range(len(secret) - _PIECE + 1)
    pieces = {secret[i : i + _PIECE] for i in starts}
    hidden = {
        i + k
        for i in range(len(line) - _PIECE + 1)
        if line[i : i + _PIECE] in pieces
        for k in range(_PIECE)
    }
    if not hidden:
        return line
    runs = groupby(range(len(line)), key=hidden.__contains__)
    return "".join(
        _HIDDEN_SECRET if gone else "".join(line[i] for i in places) for gone, places in runs
    )


def _shown(character: str) -> str:
    if " " <= character <= "~":
        return character
    kind = unicodedata.category(character)
    if kind == "Cs":
        return _UNKNOWN
    return "" if kind in _HIDDEN and character not in _JOINERS else character


def _secrets_around() -> Iterable[str]:
    """Values of this process's environment that are keys by their names."""
    for name, value in os.environ.items():
        if len(value) >= _SECRET_LENGTH and _SECRET_NAME.search(name.upper()):
            yield value
