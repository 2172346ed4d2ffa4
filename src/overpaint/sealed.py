"""JSON files of ours that notice damage: each holds a digest of all its other values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overpaint.digests import text_digest
from overpaint.errors import UserError
from overpaint.files import reason, write_atomic

_CHECK = "check"


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` (JSON values, no key `check`), whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    sealed = {**plain(values), _CHECK: seal(values)}
    write_atomic(path, (json.dumps(sealed, indent=1) + "\n").encode())


def read_sealed(path: Path) -> dict[str, Any] | None:
    """What `write_sealed` wrote; None where there is no such file.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}.") from error
    try:
        values = dict(json.loads(text))
        if values.pop(_CHECK) == seal(values):
            return values
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise UserError(f"{path} is broken: it is not what was written there; delete it.")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives them back: tuples are lists, keys are texts."""
    return dict(json.loads(json.dumps(values)))


def seal(values: Mapping[str, Any]) -> str:
    """A digest (64 hex digits) of JSON values, whatever the order of their keys."""
    return text_digest([json.dumps(values, sort_keys=True)])
