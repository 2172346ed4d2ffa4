"""Arrays that are computed once: memory-mapped .npy files in a folder named by a content hash.

The name is a hash of everything the numbers depend on, so an array of other data or of another
encoder is never taken by mistake. While it is filled the folder is called `NAME.part`; a killed
process goes on at the last chunk that it finished, with the same numbers, for the chunks'
borders are fixed.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from overpaint.claims import sole_owner
from overpaint.files import sweep, write_atomic, writing
from overpaint.progress import Progress

Fill = Callable[[range], Mapping[str, np.ndarray]]
_DONE = "rows_done.json"


def cached_arrays(
    folder: Path,
    name: str,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
    fill: Fill,
    *,
    chunk: int,
    title: str,
    is_main: bool = True,
) -> dict[str, np.ndarray]:
    """The arrays `shapes` (rows first, equally many), read-only, from disk or by `fill`.

    `fill(rows)` computes the rows of every array for one chunk. Only the main process fills;
    others wait for it. An error of `fill` passes as it is.

    Raises:
        UserError: the folder cannot be written, the disk is full, or another process fills it.
    """
    final, part = folder / name, folder / f"{name}.part"
    if is_main and not final.is_dir():
        with sole_owner(part):
            sweep(part)
            _fill_all(part, shapes, dtype, fill, chunk, title)
        with writing(final):
            part.rename(final)
    while not final.is_dir():
        time.sleep(0.5)
    return {key: np.load(final / f"{key}.npy", mmap_mode="r") for key in shapes}


def _fill_all(
    part: Path,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
    fill: Fill,
    chunk: int,
    title: str,
) -> None:
    n_rows = next(iter(shapes.values()))[0]
    with writing(part):
        done = _rows_done(part, chunk)
        mode = "r+" if done else "w+"
        part.mkdir(parents=True, exist_ok=True)
        arrays = {
            key: np.lib.format.open_memmap(part / f"{key}.npy", mode, np.dtype(dtype), shape)
            for key, shape in shapes.items()
        }
        for key in shapes:
            _reserve(part / f"{key}.npy")
    with Progress(title, total=n_rows, done=done) as progress:
        for start in range(done, n_rows, chunk):
            rows = range(start, min(start + chunk, n_rows))
            found = fill(rows)
            with writing(part):
                for key, values in found.items():
                    arrays[key][rows.start : rows.stop] = values
                for array in arrays.values():
                    array.flush()
            record = {"rows": rows.stop, "chunk": chunk}
            write_atomic(part / _DONE, json.dumps(record).encode())
            progress.advance(len(rows))


def _reserve(path: Path) -> None:
    """Claim the file's whole size: a disk that fills up under a memory map kills the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def _rows_done(part: Path, chunk: int) -> int:
    """Rows that a killed process had finished, 0 when the chunks' borders were others."""
    try:
        record = json.loads((part / _DONE).read_text())
    except (OSError, ValueError):
        return 0
    return int(record["rows"]) if record["chunk"] == chunk else 0


def hash_of(*parts: Any) -> str:
    """A short hash (24 hex digits) of JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def hash_weights(model: nn.Module) -> str:
    """A hash of a module's names, shapes and weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:24]
