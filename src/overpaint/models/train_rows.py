"""Which pairs a model was trained on: a file of row digests beside its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.data.cells import picture_of
from overpaint.errors import UserError
from overpaint.models.names import place_of

if TYPE_CHECKING:
    from PIL.Image import Image

FILE = "train_rows.txt"
_HEAD = "# Overpaint: digests of original picture and instruction, one line for each training pair"


def row_digest(original: Image, instruction: str) -> str:
    """16 hex digits of a picture's pixels (as RGB) and an instruction, whatever file held them."""
    digest = blake2b(repr(original.size).encode(), digest_size=8)
    digest.update(original.convert("RGB").tobytes())
    digest.update(b"\0" + " ".join(instruction.split()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def stored_digest(row: Mapping[str, Any], folder: Path) -> str | None:
    """That of a row of pairs in a data set's folder; None where its picture cannot be read."""
    try:
        picture = picture_of(row["original_image"], folder, "original_image")
    except UserError:
        return None
    return row_digest(picture, str(row["edit_prompt"]))


def as_text(digests: Iterable[str | None]) -> str:
    """The file of these digests: sorted, each once."""
    return "\n".join([_HEAD, *sorted({digest for digest in digests if digest}), ""])


def read_train_rows(model: str | Path) -> frozenset[str] | None:
    """The digests of a model's training pairs; None where its folder does not say.

    Raises:
        UserError: the file is no such list.
    """
    path = place_of(model) / FILE
    if not path.is_file():
        return None
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ValueError):
        head, lines = "", []
    if head != _HEAD:
        raise UserError(f"{path} is no list of training pairs: delete it, or train the model anew.")
    return frozenset(lines)
