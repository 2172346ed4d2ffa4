"""An output folder belongs to one record (`run.json`) and to one process at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overpaint.errors import UserError
from overpaint.files import cannot_write, reason, write_atomic
from overpaint.records import changes

RECORD = "run.json"


@contextmanager
def claimed(folder: Path, record: Mapping[str, Any]) -> Iterator[None]:
    """Have `folder` for oneself while the block runs; `record` (JSON values) is what it is made from.

    An older record beside which nothing was made, because a model could not be loaded, say,
    binds nobody.

    Raises:
        UserError: the folder holds something else or what another record made, another process
            writes there, or it cannot be written.
    """
    _refuse_foreign(folder)
    with sole_owner(folder):
        _refuse_foreign(folder)
        if not _has_work(folder):
            (folder / RECORD).unlink(missing_ok=True)
        keep_record(folder, record)
        yield


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder; the system frees it however the process ends.

    Raises:
        UserError: another process writes there, or the folder cannot be made.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    refuse_file(folder)
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    except OSError as error:
        raise cannot_write(path, error) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process is writing to {folder}: wait until it ends."
            ) from None
        yield


def refuse_file(folder: Path) -> None:
    """A folder is to be written, and a file is there.

    Raises:
        UserError: it is so.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file: give a folder to write to.")


def keep_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `folder/run.json`, or compare with the one that is there.

    Raises:
        UserError: naming what differs; or the record cannot be read or written.
    """
    path = folder / RECORD
    text = json.dumps(record, indent=1, ensure_ascii=False)
    if not path.is_file():
        write_atomic(path, text.encode())
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}.") from error
    except ValueError as error:
        raise UserError(f"{path} is broken: delete {folder} to start afresh.") from error
    changed = changes(before, json.loads(text))
    if changed:
        raise UserError(
            f"{folder} holds a run with another configuration ({'; '.join(changed[:5])}): choose "
            "another output folder, or the old configuration to go on with it."
        )


def refuse_taken(out: Path, work: Path | None = None) -> None:
    """Never write over what the run in `work` did not make; without `work`, over anything.

    Raises:
        UserError: `out` holds something, and there is no run that made it.
    """
    ours = work is not None and (work / RECORD).is_file()
    if not ours and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists already: choose another folder, or delete it.")


def _refuse_foreign(folder: Path) -> None:
    """Never write over what something else did."""
    refuse_file(folder)
    if folder.is_dir() and ((folder / RECORD).is_file() or not _has_work(folder)):
        return
    if folder.exists():
        raise UserError(f"{folder} holds something else: choose another folder, or delete it.")


def _has_work(folder: Path) -> bool:
    """Whether a folder holds more than a record and hidden files (a lock, unfinished work)."""
    return any(path.name != RECORD and path.name[0] != "." for path in folder.iterdir())
