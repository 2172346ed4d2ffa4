"""A run's folder belongs to one configuration (`run.json`) and to one process at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from overpaint.errors import UserError
from overpaint.files import cannot_write, write_atomic
from overpaint.records import binding, changes
from overpaint.training.settings import LoopSettings


@contextmanager
def sole_owner(out: Path) -> Iterator[None]:
    """Hold a lock on the folder; the system frees it however the process ends.

    Raises:
        UserError: another process writes there.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = out / ".lock"
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    except OSError as error:
        raise cannot_write(path, error) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is writing to {out}: wait until it ends.") from None
        yield


def check_configuration(
    accelerator: Accelerator,
    settings: LoopSettings,
    shapes: dict[str, list[int]],
    out: Path,
    describe: dict[str, Any],
) -> None:
    """Write `out/run.json`, or compare with the one that is there; `shapes` are the weights'.

    Raises:
        UserError: naming what differs.
    """
    record = {"settings": binding(settings), "describe": describe, "weights": shapes}
    text = json.dumps(record, indent=1)
    path = out / "run.json"
    if accelerator.is_main_process and not path.exists():
        write_atomic(path, text.encode())
    accelerator.wait_for_everyone()
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: delete {out} to train from the start.") from error
    now = json.loads(text)
    changed = [change for block in now for change in changes(before.get(block, {}), now[block])]
    if changed:
        raise UserError(
            f"{out} holds a run with another configuration ({'; '.join(changed[:5])}): "
            "choose another output folder, or the old configuration to go on with it."
        )
