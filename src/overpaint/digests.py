"""Digests of files and folders: what tells whether an input is still the same.

Every byte counts. Files are read whole, and the digests of large ones are kept in the user's cache
beside size, inode and both times of the file: a change anywhere in it, also one that gives the file
its old modification time back, changes the time of the inode, which no program can set.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from overpaint.errors import UserError
from overpaint.files import reason, write_atomic

_BLOCK = 1 << 20
_KEPT_FROM = 4 << 20  # bytes; smaller files are read faster than their entry in the cache
_SETTLED = 2.0  # seconds: a file changed so shortly before may change again within one tick


def digest(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes, or of the names and bytes of a folder's files.

    In a folder, dot-prefixed names (unfinished work) and cards (.md) do not count.

    Raises:
        UserError: `path` does not exist or cannot be read.
    """
    return combined(file_digests(path))


def file_digests(path: str | Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder, by its relative name; of a file, under `""`.

    Raises:
        UserError: `path` does not exist or cannot be read.
    """
    root = Path(path)
    try:
        if root.is_file():
            return {"": _file_digest(root)}
        if not root.is_dir():
            raise UserError(f"cannot read {root}: there is no such file or folder.")
        return {name: _file_digest(file) for name, file in sorted(_files(root, root))}
    except OSError as error:
        raise UserError(f"cannot read {root}: {reason(error)}.") from error


def combined(digests: Mapping[str, str]) -> str:
    """One digest of those of several files; that of a single file is its own."""
    if set(digests) == {""}:
        return digests[""]
    return text_digest(f"{name}\0{value}" for name, value in sorted(digests.items()))


def text_digest(texts: Iterable[str]) -> str:
    """SHA-256 (hex) of texts in their order; where one ends counts."""
    found = hashlib.sha256()
    for text in texts:
        data = text.encode(errors="surrogatepass")
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()


def _files(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """The files that count, with their names within `root`; links to folders are followed."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if path.is_symlink() and folder.resolve().is_relative_to(path.resolve()):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            yield from _files(path, root)
        elif path.suffix != ".md" and path.is_file():
            yield path.relative_to(root).as_posix(), path


def _file_digest(path: Path) -> str:
    status = path.stat()
    if status.st_size < _KEPT_FROM:
        return _read(path)
    entry = _entry(path)
    key = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
    try:
        kept = json.loads(entry.read_text(encoding="utf-8"))
        if kept["of"] == key:
            return str(kept["sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # none yet, or not ours: it is written anew
    found = _read(path)
    if time.time() - status.st_ctime > _SETTLED:
        _keep(entry, {"of": key, "sha256": found, "path": str(path.resolve())})
    return found


def _entry(path: Path) -> Path:
    """Where the cache keeps the digest of a file."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return cache / "overpaint" / "digests" / f"{name[:32]}.json"


def _keep(entry: Path, values: Mapping[str, object]) -> None:
    try:
        write_atomic(entry, json.dumps(values).encode())
    except UserError:
        return  # without a cache the file is read again next time


def _read(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
