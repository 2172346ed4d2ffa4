"""Checkpoints: a folder of safetensors and JSON, put in place whole, checked when read.

    checkpoints/step-0000500/
        weights.safetensors  optimizer.safetensors  ema.safetensors  ...
        state.json           {"step": 500, "files": {name: checksum}, ...}

No pickle: reading a checkpoint never runs code.
"""

from __future__ import annotations

import shutil
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from overpaint.errors import UserError
from overpaint.files import dir_aside
from overpaint.sealed import read_sealed, write_sealed
from overpaint.text import printable

_STATE = "state.json"
_BLOCK = 1 << 22


class Damaged(Exception):
    """A checkpoint that cannot be read; an older one may do."""


@dataclass(frozen=True)
class Checkpoint:
    """`step` optimizer steps are done; `parts` are named groups of named tensors."""

    step: int
    parts: dict[str, dict[str, Tensor]]
    extra: dict[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `folder/step-NNNNNNN` aside and rename it; then delete all but the `keep` newest.

    Raises:
        UserError: the folder cannot be written or the disk is full; older ones still stand.
    """
    final = folder / f"step-{checkpoint.step:07d}"
    with dir_aside(final) as aside:
        files = {}
        for part, tensors in checkpoint.parts.items():
            path = aside / f"{part}.safetensors"
            _save(path, {name: t.detach().contiguous().cpu() for name, t in tensors.items()})
            files[path.name] = _checksum(path)
        state = {"step": checkpoint.step, "files": files, "extra": checkpoint.extra}
        write_sealed(aside / _STATE, state)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def read_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read; none when there is no checkpoint yet.

    A damaged one is passed over with a line on stderr and deleted once an older one is read.

    Raises:
        UserError: there are checkpoints, and all of them are damaged.
    """
    damaged: list[Path] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            checkpoint = read_checkpoint(path)
        except Damaged as error:
            words = printable(error)
            print(f"overpaint: passing over a damaged checkpoint: {words}", file=sys.stderr)
            damaged.append(path)
            continue
        for bad in damaged:
            shutil.rmtree(bad, ignore_errors=True)
        return checkpoint
    if damaged:
        raise UserError(
            f"every checkpoint in {folder} is damaged: delete that folder to train from the start."
        )
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint folder.

    Raises:
        Damaged: a file is missing, cut short or differs from its checksum.
    """
    state = read_state(path)
    try:
        parts = {}
        for name, checksum in state["files"].items():
            if _checksum(path / name) != checksum:
                raise Damaged(f"{path / name} differs from its checksum")
            parts[Path(name).stem] = load_file(path / name)
    except (OSError, SafetensorError) as error:
        raise Damaged(f"{path} ({error})") from error
    return Checkpoint(state["step"], parts, state["extra"])


def read_state(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself: `step`, `files` and `extra`.

    Raises:
        Damaged: it is missing, or not what `write_checkpoint` writes.
    """
    try:
        state = read_sealed(path / _STATE)
    except UserError as error:
        raise Damaged(str(error)) from error
    kinds = {"step": int, "files": dict, "extra": dict}
    if not isinstance(state, dict) or any(
        not isinstance(state.get(key), kind) for key, kind in kinds.items()
    ):
        raise Damaged(f"{path / _STATE} is not what a checkpoint says of itself")
    return state


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoint folders in `folder`, oldest first."""
    found = [p for p in folder.glob("step-*") if p.is_dir() and p.name[5:].isdigit()]
    return sorted(found, key=lambda p: int(p.name[5:]))


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # how safetensors reports a full disk
        raise OSError(None, str(error), str(path)) from error


def _checksum(path: Path) -> str:
    """CRC-32 of a file: guards against a torn or decayed file, not against an attacker."""
    value = 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            value = zlib.crc32(block, value)
    return f"{value:08x}"
