"""Published sets that are parquet files: found by their columns, read row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from overpaint.data.cells import named_digests
from overpaint.data.parquet import ParquetRows
from overpaint.digests import combined, digest
from overpaint.errors import UserError
from overpaint.evaluation.cases import Case, CaseSet

ReadRow = Callable[[int, Mapping[str, Any], str], Case]
"""Makes a case of a row's number, its cells, and its place for messages; raises a UserError where
the row is broken."""


def open_rows(folder: Path, columns: set[str], splits: Sequence[str]) -> ParquetRows | None:
    """The rows of a folder's parquet files; None where there are none with all of these columns.

    `splits` are beginnings of file names: the first of them that is there is taken, else all files.

    Raises:
        UserError: the files are broken or empty.
    """
    paths = sorted(folder.glob("data/*.parquet")) or sorted(folder.glob("*.parquet"))
    if not paths or not columns <= _columns(paths[0]):
        return None
    rows = ParquetRows(_of_split(paths, splits), folder)
    if not len(rows):
        raise UserError(f"{paths[0].parent} holds no edits: its files are empty.")
    return rows


def row_cases(
    rows: ParquetRows, data: str, title: str, read: ReadRow, notes: Sequence[str] = ()
) -> CaseSet:
    """The rows as cases. `data` names the set in the report's settings, `title` the edits in words."""
    folder, count = rows.folder, len(rows)

    def case(index: int) -> Case:
        return read(index, rows[index], f"row {index} of {folder.name}")

    settings = {"data": data, "folder": folder.name, "count": count}
    settings["sha256"] = combined({p.name: digest(p) for p in rows.paths} | named_digests(rows))
    return CaseSet(f"{count} {title}", settings, count, case, tuple(notes))


def _of_split(paths: Sequence[Path], splits: Sequence[str]) -> Sequence[Path]:
    for split in splits:
        if named := [path for path in paths if path.name.startswith(split)]:
            return named
    return paths


def _columns(path: Path) -> set[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return set(pq.read_schema(path).names)
    except (pa.ArrowInvalid, OSError):
        return set()  # the reader of pairs says what is wrong with it
