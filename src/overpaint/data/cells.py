"""Cells of data sets that strangers may have written: a picture and a text, or a sentence.

A cell opens nothing outside its data set's folder and no address, and its picture goes through
`overpaint.images.load_image`, the one decoder of all stages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from overpaint.digests import combined, digest, file_digests
from overpaint.errors import UserError
from overpaint.images import is_url, load_image
from overpaint.text import printable

if TYPE_CHECKING:
    from overpaint.data.parquet import ParquetRows

_SHOWN = 80  # characters of a path that a message repeats


def picture_of(
    cell: Any, folder: str | Path, where: str, note: Callable[[str], None] | None = None
) -> Image.Image:
    """The picture of a cell, as `load_image` reads it.

    A cell is the bytes of a picture file, or `{"bytes": ..., "path": ...}` as the Image feature
    of `datasets` stores it; where it has no bytes, `path` names a file in `folder`, the data
    set's own. `where` (a row and its column) goes into the messages.

    Raises:
        UserError: the cell is empty or holds something else, its path leads out of the folder
            or is an address, or the picture cannot be read.
    """
    content, path = _stored(cell)
    if not content and not path:
        raise UserError(f"{where} holds no picture.")
    try:
        return load_image(content or inside(path, folder), note=note)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def text_of(cell: Any, where: str) -> str:
    """The text of a cell.

    Raises:
        UserError: it is missing or empty, with its place.
    """
    if not isinstance(cell, str) or not cell.strip():
        raise UserError(f"{where} is empty.")
    return cell


def words_of(cell: Any) -> str | None:
    """The text of a cell that may be empty; None where it is, or holds something else."""
    return cell if isinstance(cell, str) and cell.strip() else None


def bytes_of(cell: Any) -> bytes:
    """What tells the picture of a cell from another's: its bytes, else its path as bytes."""
    content, path = _stored(cell)
    return content or path.encode("utf-8", "surrogatepass")


def inside(path: str, folder: str | Path) -> Path:
    """The file that a data set names, which must lie in the data set's folder; opens nothing.

    Raises:
        UserError: it is an address or lies elsewhere, also by a symbolic link.
    """
    shown = printable(path)[:_SHOWN]
    if is_url(path):
        raise UserError(f"it names the address {shown}: a data set's pictures must lie in it.")
    root = Path(folder).resolve()
    try:
        found = (root / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, a circle of links
        raise UserError(f"it names {shown}, which is no path of a file.") from error
    if not found.is_relative_to(root):
        raise UserError(f"it names {shown}, which lies outside of the data set's folder.")
    return found


def named_digests(rows: ParquetRows) -> dict[str, str]:
    """The digests of the files in a data set's folder that its cells name, by their names.

    What a cell may not name is left to the one who reads it.

    Raises:
        UserError: the rows or one of those files cannot be read.
    """
    found = {}
    for path in rows.paths_in_cells():
        try:
            file = inside(path, rows.folder)
        except UserError:
            continue
        if os.path.isfile(file):  # also of names too long for a file
            found[f"./{path}"] = digest(file)
    return found


def pairs_digest(rows: ParquetRows) -> str:
    """A digest of a folder of pairs: of its shards, and of the pictures that lie beside them."""
    return combined({**file_digests(rows.folder / "data"), **named_digests(rows)})


def _stored(cell: Any) -> tuple[bytes, str]:
    """The bytes and the path of a cell; empty where it has none."""
    values = cell if isinstance(cell, Mapping) else {"bytes": cell}
    content, path = values.get("bytes"), values.get("path")
    if not isinstance(content, bytes | bytearray | memoryview):
        content = b""
    return bytes(content), path if isinstance(path, str) else ""
