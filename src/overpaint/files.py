"""Writing files and folders so that a reader sees the old one or the new one, never a part.

Everything is written aside under a dot-prefixed name in the same folder (a name that
dataset loaders skip), flushed to the disk, and renamed into place.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from overpaint.errors import UserError

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAX_JSON = 64 << 20  # bytes; once parsed it takes some ten times as much memory

JsonT = TypeVar("JsonT", bound="dict[str, Any] | list[Any]")

# Stem, mark of an old folder that a new one is about to replace, and suffix; see `name_aside`.
_ASIDE = re.compile(r"\.(.+)\.[0-9a-f]{8}(-old)?(\.[^.]+)?")
# What no reader can meet.
_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


def write_atomic(path: str | Path, content: bytes | Callable[[Path], object]) -> None:
    """Write `path` whole or not at all; its folder is made when it is missing.

    Where `path` is a symbolic link, what it points to is written.

    `content` is the bytes, or a function that writes them to the path it is given (which
    ends like `path`, so writers that look at the suffix work). What such a function fails to
    read is not taken for a failed write: that error passes as it is.

    Raises:
        UserError: the disk is full, the folder cannot be written, `path` is a folder, ...
    """
    path = followed(path)
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

    Where `final` is a symbolic link, the folder that it points to is replaced.

    Raises:
        UserError: the folder cannot be made, filled, flushed or put in place, or the disk is full.
    """
    final = followed(final)
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
    tmp, final = Path(tmp), followed(final)
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
    path = followed(path)
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


def read_bytes(path: str | Path, most: int, what: str = "") -> bytes:
    """A small file whole; what is no ordinary file (a pipe, a device) is not waited for.

    `what` ("the recipe ", say) goes before its name in messages.

    Raises:
        UserError: it is missing, no ordinary file, larger than `most` bytes, or cannot be read.
    """
    path = Path(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"cannot read {what}{path}: it is no ordinary file.")
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise UserError(f"cannot read {what}{path}: {reason(error)}.") from error
    except ValueError as error:  # a NUL in the name
        raise UserError(f"cannot read {what}{path}: {error}.") from error
    if len(content) > most:
        raise UserError(f"cannot read {what}{path}: it is larger than {most >> 20} MiB.")
    return content


def encoding_of(start: bytes) -> str:
    """The encoding of a text that begins so: UTF-8 unless a byte order mark says otherwise."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    return "utf-8-sig"


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON text, in UTF-8, UTF-16 or UTF-32 where it is bytes.

    Raises:
        ValueError: it is no JSON, no text, or nested too deeply, in few words.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is no text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg.lower()} in line {error.lineno}") from error
    except ValueError as error:  # a number of thousands of digits
        raise ValueError("it holds a number of too many digits") from error


def read_json(path: str | Path, kind: type[JsonT]) -> JsonT:
    """The table (`dict`) or list (`list`) in a JSON file.

    Raises:
        UserError: it cannot be read, is no whole JSON, or holds something else.
    """
    content = read_bytes(path, _MAX_JSON)
    try:
        value = parse_json(content)
    except ValueError as error:
        raise UserError(f"{path} is no whole JSON file: {error}.") from error
    if not isinstance(value, kind):
        what = "a table of keys and values" if issubclass(kind, dict) else "a list"
        raise UserError(f"{path} does not hold {what}, but {_json_name(value)}.")
    return value


def _json_name(value: Any) -> str:
    names = {dict: "a table", list: "a list", str: "a text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")


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


def beside(path: str | Path, suffix: str) -> Path:
    """`NAME.SUFFIX` beside a file or folder NAME, which may also be given as `.` or `..`.

    Raises:
        UserError: `path` is the root of the file system, which has no name.
    """
    path = Path(path)
    if path.name in ("", ".."):
        path = path.resolve()
    if not path.name:
        raise UserError(f"{path} is the root of the file system: give a folder in it.")
    return path.with_name(f"{path.name}.{suffix}")


def name_aside(path: Path, mark: str = "") -> Path:
    """A fresh dot-prefixed name beside `path`, with the same suffix; `sweep` knows it."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}{mark}{path.suffix}")


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
