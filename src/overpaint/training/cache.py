"""Arrays that are computed once: memory-mapped .npy files in a folder of their own, an artifact.

The folder's name is a short digest of everything that the numbers depend on, so an array of other
data or of another encoder is never taken by mistake, and the files' digests are looked at before
they are used. A killed process goes on at the last chunk that it finished, with the same numbers,
for the chunks' borders are fixed.
"""

from __future__ import annotations

import os
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from overpaint.artifact import Artifact
from overpaint.errors import UserError
from overpaint.files import writing
from overpaint.progress import Progress
from overpaint.sealed import read_sealed, write_sealed

Fill = Callable[[range], Mapping[str, np.ndarray]]
_DONE = ".done.json"


def cached_arrays(
    folder: Path,
    name: str,
    origin: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
    fill: Fill,
    *,
    chunk: int,
    title: str,
    is_main: bool = True,
) -> dict[str, np.ndarray]:
    """The arrays `shapes` (rows first, equally many), read-only, from disk or by `fill`.

    `origin` (JSON values) is what the numbers depend on besides shapes and dtype; the arrays lie in
    `folder/NAME-DIGEST`. `fill(rows)` computes the rows of every array for one chunk. Only the main
    process fills; others wait for it. What is not as it was written is computed again. An error of
    `fill` passes as it is.

    Raises:
        UserError: the folder cannot be written, the disk is full, or another process fills it.
    """
    origin = {"stage": "cache", **origin, "shapes": shapes, "dtype": dtype}
    place = folder / f"{name}-{Artifact(folder, origin).key}"
    artifact = Artifact(place, origin)
    if is_main and artifact.state() != "whole":
        damaged = artifact.made() is not None  # it was whole once, and is no more
        with artifact.being_made(replace=True):
            if damaged:
                print(f"overpaint: {place} is damaged: it is made again.", file=sys.stderr)
                (place / _DONE).unlink(missing_ok=True)
            _fill_all(place, shapes, dtype, fill, chunk, title)
            artifact.finish()
            (place / _DONE).unlink(missing_ok=True)
    while not is_main and artifact.state() != "whole":
        time.sleep(0.5)
    return {key: np.load(place / f"{key}.npy", mmap_mode="r") for key in shapes}


def _fill_all(
    place: Path,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
    fill: Fill,
    chunk: int,
    title: str,
) -> None:
    n_rows = next(iter(shapes.values()))[0]
    files = {key: place / f"{key}.npy" for key in shapes}
    starts, sums = range(0, n_rows, chunk), _sums_done(place, chunk)
    with writing(place):
        arrays = _begun(files, shapes, dtype) if sums else None
        if arrays is None:
            sums, arrays = [], _open(files, "w+", shapes, dtype)
        for file in files.values():
            _reserve(file)
    intact = (_sum(arrays, start, chunk) == s for start, s in zip(starts, sums, strict=False))
    sums = [s for s, _ in zip(sums, takewhile(bool, intact), strict=False)]
    with Progress(title, total=n_rows, done=min(len(sums) * chunk, n_rows)) as progress:
        for start in starts[len(sums) :]:
            rows = range(start, min(start + chunk, n_rows))
            found = fill(rows)
            with writing(place):
                for key, values in found.items():
                    arrays[key][rows.start : rows.stop] = values
                for array in arrays.values():
                    array.flush()
            sums.append(_sum(arrays, start, chunk))
            write_sealed(place / _DONE, {"chunk": chunk, "sums": sums})
            progress.advance(len(rows))


def _open(
    files: Mapping[str, Path], mode: Any, shapes: Mapping[str, tuple[int, ...]], dtype: str
) -> dict[str, np.memmap]:
    return {
        key: np.lib.format.open_memmap(file, mode, np.dtype(dtype), shapes[key])
        for key, file in files.items()
    }


def _begun(
    files: Mapping[str, Path], shapes: Mapping[str, tuple[int, ...]], dtype: str
) -> dict[str, np.memmap] | None:
    """The arrays that a killed process left; None where one is not what it was."""
    try:
        arrays = _open(files, "r+", shapes, dtype)
    except (OSError, ValueError):
        return None
    same = all(a.shape == shapes[key] and a.dtype == dtype for key, a in arrays.items())
    return arrays if same else None


def _sum(arrays: Mapping[str, np.ndarray], start: int, chunk: int) -> int:
    """CRC-32 of the rows of one chunk in all arrays."""
    value = 0
    for key in sorted(arrays):
        value = zlib.crc32(np.ascontiguousarray(arrays[key][start : start + chunk]).data, value)
    return value


def _reserve(path: Path) -> None:
    """Claim the file's whole size: a disk that fills up under a memory map kills the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def _sums_done(place: Path, chunk: int) -> list[int]:
    """The checksums of the chunks that a killed process had finished; none of other borders."""
    try:
        record = read_sealed(place / _DONE)
    except UserError:
        return []
    return list(record["sums"]) if record is not None and record["chunk"] == chunk else []
