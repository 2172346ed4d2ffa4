"""Rows of parquet files, read where they lie: no copy in a cache, no decoding of pictures.

The `datasets` library copies parquet files into a cache in the user's home, which it knows by
their names and times: files that were replaced with their old times would give their old rows.
It also decodes pictures with whatever decoder and from whatever path a cell names.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.errors import UserError
from overpaint.files import reason

if TYPE_CHECKING:
    import pyarrow as pa

MAX_GROUP_BYTES = 4 << 30
"""Of a row group once read: a few bytes of a file may stand for any number of equal values."""
_KEPT_BYTES = 256 << 20  # of row groups that were read last
_ROWS_AT_ONCE = 64


class ParquetRows:
    """The rows of some parquet files, in order, as plain values.

    `rows[3]` is a row, `rows["edit_prompt"]` a column; a picture is `{"bytes": ..., "path": ...}`
    or whatever else its cell holds (see `overpaint.data.cells`). A row group at a time is in memory,
    and those that were read last; threads may share the rows.
    """

    def __init__(self, paths: Sequence[str | Path], folder: str | Path) -> None:
        """`folder` is the data set's own, in which its cells may name files.

        Raises:
            UserError: a file cannot be read, is no whole parquet file, or has other columns than
                the first.
        """
        self.folder = Path(folder)
        self.paths = [Path(path) for path in paths]
        self._files = [_File(path) for path in self.paths]
        self.column_names: list[str] = self._files[0].columns
        for file in self._files[1:]:
            if set(file.columns) != set(self.column_names):
                raise UserError(
                    f"{file.path} has other columns than {self._files[0].path}: these are not "
                    "parts of one data set."
                )
        self._groups = [(file, group) for file in self._files for group in range(file.groups)]
        sizes = [file.rows_in(group) for file, group in self._groups]
        self._starts = [0, *accumulate(sizes)]
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            return self._column(key)
        index = range(len(self))[key]
        number = bisect_right(self._starts, index) - 1
        row = self._group(number).slice(index - self._starts[number], 1)
        file = self._groups[number][0]
        return file.plain(row)[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def paths_in_cells(self) -> list[str]:
        """The paths that cells of pictures hold, each once and sorted, with or without bytes beside."""
        found: set[str] = set()
        for file, group in self._groups:
            for column in file.of_pictures:
                cells = file.read(group, [f"{column}.path"]).column(0)
                for chunk in cells.chunks:  # as bytes: a name that is no text costs its row alone
                    names = chunk.field("path").cast("binary").to_pylist()
                    found |= {os.fsdecode(name) for name in names if name}
        return sorted(found)

    def _column(self, name: str) -> list[Any]:
        if name not in self.column_names:
            raise KeyError(name)
        found = []
        for file, group in self._groups:
            found += [row[name] for row in file.plain(file.read(group, [name]))]
        return found

    def _group(self, number: int) -> pa.Table:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        file, group = self._groups[number]
        table = file.read(group, self.column_names)  # by several threads at once
        with self._lock:
            self._kept[number] = table
            while len(self._kept) > 1 and sum(t.nbytes for t in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return table


class _File:
    """One parquet file: its footer, read once, and what it looked like then."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        try:
            self._state = _state(path)
            self._footer = pq.read_metadata(path)
            schema = self._footer.schema.to_arrow_schema()
            self.columns = list(schema.names)
            self.of_pictures = [field.name for field in schema if _has_path(field.type)]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(error) from error
        self.groups: int = self._footer.num_row_groups

    def rows_in(self, group: int) -> int:
        return int(self._footer.row_group(group).num_rows)

    def read(self, group: int, columns: list[str]) -> pa.Table:
        """Some columns of a row group."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        batches, size = [], 0
        try:
            with pq.ParquetFile(
                self.path, metadata=self._footer, page_checksum_verification=True
            ) as file:
                if _state(self.path) != self._state:
                    raise UserError(
                        f"{self.path} was changed while it was being read: run the command again."
                    )
                for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=columns):
                    batches.append(batch)
                    size += batch.nbytes
                    if size > MAX_GROUP_BYTES:
                        raise self._too_large()
            table = pa.Table.from_batches(batches)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(error) from error
        if table.num_rows != self.rows_in(group):
            raise UserError(f"cannot read {self.path}: its footer and its rows do not agree.")
        return table

    def plain(self, table: pa.Table) -> list[dict[str, Any]]:
        """The rows of a table as Python's values."""
        import pyarrow as pa

        try:
            rows: list[dict[str, Any]] = table.to_pylist()
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise self._unreadable(error) from error
        return rows

    def _too_large(self) -> UserError:
        return UserError(
            f"{self.path} has a row group of more than {MAX_GROUP_BYTES >> 30} GiB: "
            "write it with smaller ones."
        )

    def _unreadable(self, error: Exception) -> UserError:
        named = isinstance(error, OSError) and error.errno is not None
        why = reason(error) if isinstance(error, OSError) and named else _NOT_WHOLE
        return UserError(
            f"cannot read {self.path}: {why}; delete it and run the command that wrote it once "
            "more, or get it again."
        )


def _has_path(kind: pa.DataType) -> bool:
    """Whether cells of this type are as the Image feature of `datasets` stores pictures."""
    import pyarrow as pa

    return bool(
        pa.types.is_struct(kind)
        and kind.get_field_index("path") >= 0
        and pa.types.is_string(kind.field("path").type)
    )


_NOT_WHOLE = "it is no whole parquet file"


def _state(path: Path) -> tuple[int, ...]:
    """What changes with a file's content; the time of the inode no program can set."""
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
