"""A triplet as this stage stores it: with its kind of edit and what wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from overpaint.rows import TRIPLET_COLUMNS, Triplet

if TYPE_CHECKING:
    from datasets import Features


@dataclass(frozen=True, kw_only=True)
class WrittenTriplet(Triplet):
    """`kind` is one of `kinds.KINDS`, `seed` that of its sampling; what is unknown is None."""

    kind: str | None = None
    seed: int | None = None
    model: str | None = None


def written_features() -> Features:
    """The features of a dataset of written triplets."""
    from datasets import Features, Value

    texts = (*TRIPLET_COLUMNS, "kind", "model")
    columns = (*TRIPLET_COLUMNS, "kind", "seed", "model")
    return Features({name: Value("string" if name in texts else "int64") for name in columns})
