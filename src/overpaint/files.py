"""Writing files and folders so that a reader sees the old one or the new one, never a part.

Everything is written aside under a dot-prefixed name in the same folder (a name that
dataset loaders skip), flushed to the disk, and renamed into place.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from overpaint.errors import UserError


def write_atomic(path: str | Path, content: bytes | Callable[[Path], object]) -> None:
    """Write `path` whole or not at all; its folder is made when it is missing.

    `content` is the bytes, or a function that writes them to the path it is given (which
    ends like `path`, so writers that look at the suffix work).

    Raises:
        UserError: the disk is full, the folder cannot be written, `path` is a folder, ...
    """
    path = Path(path)
    aside = name_aside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            aside.write_bytes(content)
        else:
            content(aside)
        _flush(aside)
        aside.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        _remove(aside)


@contextmanager
def dir_aside(final: str | Path) -> Iterator[Path]:
    """Give an empty folder to fill; it becomes `final` when the block ends without an error.

    Raises:
        UserError: the folder cannot be made, flushed or put in place, or the disk is full.
    """
    final = Path(final)
    aside = name_aside(final)
    try:
        aside.mkdir(parents=True)
        yield aside
        replace_dir(aside, final)
    except OSError as error:
        raise cannot_write(final, error) from error
    finally:
        _remove(aside)


def replace_dir(tmp: str | Path, final: str | Path) -> None:
    """Flush the folder `tmp` to the disk and rename it to `final`, which may exist.

    An old `final` is deleted only after the new one is in place. (Folders cannot be
    exchanged in one step: a crash between the two renames leaves the old one whole
    under a dot-prefixed name and the new one in `tmp`.)

    Raises:
        UserError: naming `final` and the reason.
    """
    tmp, final = Path(tmp), Path(final)
    old = name_aside(final)
    try:
        for folder, _, names in os.walk(tmp):
            for name in names:
                _flush(Path(folder, name))
            _flush(Path(folder))
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            final.rename(old)
        tmp.rename(final)
        _flush(final.parent)
    except OSError as error:
        if old.exists() and not final.exists():
            old.rename(final)
        raise cannot_write(final, error) from error
    _remove(old)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` as JSON that a person can read, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    write_atomic(path, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())


def name_aside(path: Path) -> Path:
    """A fresh dot-prefixed name beside `path`, with the same suffix."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")


def cannot_write(path: Path, error: OSError) -> UserError:
    """The sentence for a failed write."""
    return UserError(f"cannot write {path}: {reason(error)}.")


def reason(error: OSError) -> str:
    """An operating system error in lower-case words, with the file it names where it names one."""
    words = error.strerror or str(error) or type(error).__name__
    return words[:1].lower() + words[1:]


def _flush(path: Path) -> None:
    """Make the disk hold what was written (for a folder: its list of names)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Delete a left-over; one that cannot be deleted must not hide the error that left it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
