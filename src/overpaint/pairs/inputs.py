"""Triplets that pictures can be made of: read, cleaned, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from overpaint.errors import UserError
from overpaint.formats import NOT_UNICODE, read_triplets
from overpaint.rows import MAX_CAPTION, MAX_INSTRUCTION, TRIPLET_COLUMNS, Triplet
from overpaint.shards import row_key
from overpaint.tally import DUPLICATE, EMPTY, NO_OP, OVER_LONG, Tally


def read_rows(source: str | Path) -> tuple[list[dict[str, Any]], Tally]:
    """The rows of a source of triplets, and what was rejected.

    A row holds the three texts, each in one line, the `kind` of edit (or None) and the row's `key`.

    Raises:
        UserError: the source cannot be read, or none of its rows can be used.
    """
    tally, rows = Tally(), dict[str, dict[str, Any]]()
    for triplet in read_triplets(source, tally):
        tally.seen += 1
        texts = {name: " ".join(getattr(triplet, name).split()) for name in TRIPLET_COLUMNS}
        fault = _fault(Triplet(**texts), triplet.kind or "")
        key = row_key(*texts.values()) if fault is None else ""
        if key in rows:
            fault = DUPLICATE
        if fault is None:
            rows[key] = {**texts, "kind": triplet.kind, "key": key}
        else:
            tally.reject(
                fault, " | ".join(text.encode(errors="replace").decode() for text in texts.values())
            )
    if not rows:
        raise UserError(
            f"none of the {tally.seen} triplets in {source} can be used: {tally.commonest()}."
        )
    return list(rows.values()), tally


def _fault(triplet: Triplet, kind: str) -> str | None:
    """Why no pair can be made of a row, or None."""
    original, edit, edited = (getattr(triplet, name) for name in TRIPLET_COLUMNS)
    if not (original and edit and edited):
        return EMPTY
    if max(len(original), len(edited)) > MAX_CAPTION or max(len(edit), len(kind)) > MAX_INSTRUCTION:
        return OVER_LONG
    if original == edited:
        return NO_OP
    try:
        f"{original}{edit}{edited}{kind}".encode()
    except UnicodeEncodeError:  # half of a pair of surrogates, as JSON can spell it
        return NOT_UNICODE
    return None
