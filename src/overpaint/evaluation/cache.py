"""Results on disk, found again by what they are made from: a rerun computes only what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from overpaint.artifact import Artifact
from overpaint.engine.threads import fixed_threads
from overpaint.files import read_json, write_json


def cached_result(
    folder: Path, origin: Mapping[str, Any], compute: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """What `compute` gave for this origin in an earlier run, or gives now (JSON values).

    It lies in `folder/DIGEST/result.json`, where DIGEST is that of the origin: what other models,
    judges or settings gave stays beside it. As the engine's workers, it computes with a fixed number
    of threads, on which the numbers depend.

    Raises:
        UserError: the folder cannot be written; or as `compute`.
    """
    origin = {**origin, "stage": "result"}
    place = folder_of(folder, origin)
    path = place / "result.json"
    artifact = Artifact(place, origin, path)
    if artifact.state() != "whole":
        with artifact.being_made(replace=True):
            with fixed_threads():
                made = compute()
            write_json(path, made)
            artifact.finish()
    return read_json(path, dict)


def folder_of(folder: Path, origin: Mapping[str, Any]) -> Path:
    """The folder within `folder` for what is made from `origin`."""
    return folder / Artifact(folder, origin).key
