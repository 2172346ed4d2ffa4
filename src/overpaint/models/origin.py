"""What tells a model from another: the content of its files, or its revision on the hub."""

from __future__ import annotations

from pathlib import Path

from overpaint.digests import digest
from overpaint.errors import UserError
from overpaint.models.names import clip_folders, place_of


def model_origin(name: str | Path, kind: str = "model") -> str:
    """A digest of the model that `name` means, or its hub id with the commit that is used.

    `kind` is what messages call it.

    A folder counts by the names and bytes of its files, wherever it lies; cards do not count.

    Raises:
        UserError: it cannot be read, or neither this machine nor the hub has it.
    """
    place = place_of(name)
    if place.exists():
        return digest(place)
    from overpaint.models.hub import resolved_revision

    revision = resolved_revision(name)
    if revision is None:
        raise UserError(f"there is no {kind} {str(name)!r}: give nano, a folder, or a hub id.")
    return f"{name}@{revision}"


def clip_origin(name: str | Path) -> str:
    """As `model_origin`, of a CLIP and its tokenizer: a folder of its own, or parts of a pipeline."""
    folders = dict.fromkeys(clip_folders(name))
    return " ".join(model_origin(folder, "CLIP") for folder in folders if not _is_absent(folder))


def _is_absent(folder: str | Path) -> bool:
    """A tokenizer's folder that is not there; loading says what is wrong."""
    return isinstance(folder, Path) and not folder.exists()
