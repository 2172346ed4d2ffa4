"""Writing files and folders so that a reader sees the old one or the new one, never a part.

Everything is written aside under a dot-prefixed name in the same folder (a name that
dataset loaders skip), flushed to the disk, and renamed into place.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from overpaint.errors import UserError

_BLOCK = 1 << 20
_HASHED_WHOLE = 64 << 20


def write_atomic(path: str | Path, content: bytes | Callable[[Path], object]) -> None:
    """Write `path` whole or not at all; its folder is made when it is missing.

    Where `path` is a symbolic link, what it points to is written.

    `content` is the bytes, or a function that writes them to the path it is given (which
    ends like `path`, so writers that look at the suffix work).

    Raises:
        UserError: the disk is full, the folder cannot be written, `path` is a folder, ...
    """
    path = followed(path)
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

    Where `final` is a symbolic link, the folder that it points to is replaced.

    Raises:
        UserError: the folder cannot be made, flushed or put in place, or the disk is full.
    """
    final = followed(final)
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
    tmp, final = Path(tmp), followed(final)
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


def followed(path: str | Path) -> Path:
    """What `path` is in the end: itself, or what a symbolic link of that name points to.

    Raises:
        UserError: the links run in a circle, or to something that cannot be replaced (a device).
    """
    path = Path(path)
    if not path.is_symlink():
        return path
    final = Path(os.path.realpath(path))
    if final.is_symlink():
        raise cannot_write(path, OSError(errno.ELOOP, os.strerror(errno.ELOOP)))
    if final.exists() and not (final.is_file() or final.is_dir()):
        raise UserError(f"cannot write {path}: {final} is not an ordinary file.")
    return final


def name_aside(path: Path) -> Path:
    """A fresh dot-prefixed name beside `path`, with the same suffix."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")


def content_hash(path: str | Path) -> str:
    """SHA-256 (hex) of a file, or of a folder's relative names and contents in sorted order.

    Dot-prefixed names in a folder are left out: they are unfinished work.

    Raises:
        UserError: `path` does not exist or cannot be read.
    """
    path = Path(path)
    digest = hashlib.sha256()
    try:
        if path.is_file():
            _hash_into(digest, path)
            return digest.hexdigest()
        if not path.is_dir():
            raise UserError(f"cannot read {path}: there is no such file or folder.")
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            name = file.relative_to(path)
            if not any(part.startswith(".") for part in name.parts):
                digest.update(name.as_posix().encode() + b"\0")
                digest.update(str(file.stat().st_size).encode() + b"\0")
                _hash_into(digest, file)
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}.") from error
    return digest.hexdigest()


def quick_hash(folder: str | Path) -> str:
    """What tells a folder of weights from another without reading gigabytes (hex, 64 digits).

    SHA-256 of the names, sizes and contents of its files; of a file above 64 MiB, only its first
    and last MiB count. Dot-prefixed names and cards (.md) are left out. A file is hashed so, too.

    Raises:
        UserError: something in it cannot be read.
    """
    root, digest = Path(folder), hashlib.sha256()
    try:
        files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
        for file in files:
            name = file.relative_to(root)
            if file.suffix == ".md" or any(part.startswith(".") for part in name.parts):
                continue
            size = file.stat().st_size
            digest.update(f"{name.as_posix()}\0{size}\0".encode())
            if size <= _HASHED_WHOLE:
                _hash_into(digest, file)
                continue
            with file.open("rb") as stream:
                digest.update(stream.read(_BLOCK))
                stream.seek(-_BLOCK, os.SEEK_END)
                digest.update(stream.read(_BLOCK))
    except OSError as error:
        raise UserError(f"cannot read {folder}: {reason(error)}.") from error
    return digest.hexdigest()


def cannot_write(path: Path, error: OSError) -> UserError:
    """The sentence for a failed write."""
    return UserError(f"cannot write {path}: {reason(error)}.")


def reason(error: OSError) -> str:
    """An operating system error in lower-case words, with the file it names where it names one."""
    words = error.strerror or str(error) or type(error).__name__
    return words[:1].lower() + words[1:]


def _hash_into(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)


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
