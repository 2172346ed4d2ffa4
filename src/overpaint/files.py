"""Writing files and folders so that a reader sees the old one or the new one, never a part.

Everything is written aside under a dot-prefixed name in the same folder (a name that
dataset loaders skip), flushed to the disk, and renamed into place.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from overpaint.errors import UserError

_BLOCK = 1 << 20
_HASHED_WHOLE = 64 << 20
# Stem, mark of an old folder that a new one is about to replace, and suffix; see `name_aside`.
_ASIDE = re.compile(r"\.(.+)\.[0-9a-f]{8}(-old)?(\.[^.]+)?")
# What no reader can meet.
_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


def write_atomic(path: str | Path, content: bytes | Callable[[Path], object]) -> None:
    """Write `path` whole or not at all; its folder is made when it is missing.

    `content` is the bytes, or a function that writes them to the path it is given (which
    ends like `path`, so writers that look at the suffix work). What such a function fails to
    read is not taken for a failed write: that error passes as it is.

    Raises:
        UserError: the disk is full, the folder cannot be written, `path` is a folder, ...
    """
    path = Path(path)
    aside = name_aside(path)
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                aside.write_bytes(content)
        if not isinstance(content, bytes):
            with writing(path, aside):
                content(aside)
        with writing(path):
            _flush(aside)
            aside.replace(path)
            _flush(path.parent)
    finally:
        _remove(aside)


@contextmanager
def dir_aside(final: str | Path) -> Iterator[Path]:
    """Give an empty folder to fill; it becomes `final` when the block ends without an error.

    Raises:
        UserError: the folder cannot be made, filled, flushed or put in place, or the disk is full.
    """
    final = Path(final)
    aside = name_aside(final)
    try:
        with writing(final):
            aside.mkdir(parents=True)
        with _in_use(aside):
            with writing(final, aside):
                yield aside
            replace_dir(aside, final)
    finally:
        _remove(aside)


def replace_dir(tmp: str | Path, final: str | Path) -> None:
    """Flush the folder `tmp` to the disk and rename it to `final`, which may exist.

    An old `final` is deleted only after the new one is in place. (Folders cannot be
    exchanged in one step: a crash between the two renames leaves the old one whole
    under a dot-prefixed name, from where `sweep` brings it back.)

    Raises:
        UserError: naming `final` and the reason.
    """
    tmp, final = Path(tmp), Path(final)
    old = name_aside(final, "-old")
    try:
        with writing(final):
            for folder, _, names in os.walk(tmp):
                for name in names:
                    _flush(Path(folder, name))
                _flush(Path(folder))
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():
                final.rename(old)
            tmp.rename(final)
            _flush(final.parent)
    finally:
        if old.exists() and not final.exists():
            old.rename(final)
    _remove(old)


def sweep(path: str | Path) -> None:
    """Delete what killed processes left half written beside `path` and, in a folder, within it.

    The caller holds the lock of whatever writes there; a folder beside `path` that another
    process is filling just now (`dir_aside`) stays. Where a process was killed as it exchanged an
    old folder for a new one, the old one is brought back.
    """
    path = Path(path)
    beside = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    for left in beside:
        match = _ASIDE.fullmatch(left.name)
        if match is None or f"{match[1]}{match[3] or ''}" != path.name:
            continue
        if match[2] and not path.exists():
            left.rename(path)
        elif not _is_used(left):
            _remove(left)
    if path.is_dir():
        for folder, folders, names in os.walk(path):
            for name in [n for n in (*folders, *names) if _ASIDE.fullmatch(n)]:
                _remove(Path(folder, name))
            folders[:] = [name for name in folders if not _ASIDE.fullmatch(name)]


@contextmanager
def writing(path: Path, within: Path | None = None) -> Iterator[None]:
    """Have an error of the block's writing say that `path` cannot be written.

    With `within`, the block also does other things, and only errors that name something in there,
    or that only writing can have (a full disk), are taken for those of writing.

    Raises:
        UserError: naming `path` and the reason.
    """
    try:
        yield
    except OSError as error:
        if within is None or _is_of_writing(error, within):
            raise cannot_write(path, error) from error
        raise


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` as JSON that a person can read, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    write_atomic(path, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())


def name_aside(path: Path, mark: str = "") -> Path:
    """A fresh dot-prefixed name beside `path`, with the same suffix; `sweep` knows it."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}{mark}{path.suffix}")


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


def _is_of_writing(error: OSError, within: Path) -> bool:
    """Whether an error came from writing in `within`, as far as it says."""
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | Path)]
    if any(Path(name).is_relative_to(within) for name in names):
        return True
    # Writers in other languages (Arrow, safetensors) give the system's words without its number.
    said = any(os.strerror(number) in str(error) for number in _OF_WRITING)
    return said or error.errno in _OF_WRITING


@contextmanager
def _in_use(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, which the system frees however the process ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _is_used(path: Path) -> bool:
    """Whether a living process holds the lock of `_in_use`."""
    if not path.is_dir():
        return False
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove(path: Path) -> None:
    """Delete a left-over; one that cannot be deleted must not hide the error that left it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
