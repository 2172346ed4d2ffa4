"""What an editor is evaluated on: pictures, instructions, and what is known of the right answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overpaint.errors import UserError
from overpaint.metrics.pixelwise import Pixels

WITHOUT_KIND = "all"


@dataclass(frozen=True)
class Case:
    """One picture and one instruction.

    `earlier` are instructions to be followed before it, each on the result of the one before.
    `targets` are the right answers (h, w, 3), of the original's size, and `wrong` gives what
    retrieval chooses from besides; `untouched` (h, w) says which pixels should stay. Each is
    empty or None where the data does not tell.
    """

    key: str
    instruction: str
    original: Image.Image
    kind: str = WITHOUT_KIND
    original_prompt: str | None = None
    edited_prompt: str | None = None
    targets: tuple[Pixels, ...] = ()
    untouched: NDArray[np.bool_] | None = None
    wrong: Callable[[], list[Pixels]] | None = None
    earlier: tuple[str, ...] = ()

    @property
    def asked(self) -> str:
        """All that is asked for, in its order."""
        return " → ".join((*self.earlier, self.instruction))


@dataclass(frozen=True)
class CaseSet:
    """`count` cases; `read` makes one of its index, or raises a UserError where it is broken.

    `settings` (plain values) name the cases: equal settings, equal cases. `title` is for people.
    """

    title: str
    settings: Mapping[str, Any]
    count: int
    read: Callable[[int], Case]
    notes: tuple[str, ...] = field(default=())

    def first(self, count: int) -> list[Case]:
        """The first so many cases that can be read."""
        found: list[Case] = []
        for index in range(self.count):
            if len(found) == count:
                break
            try:
                found.append(self.read(index))
            except UserError:
                continue
        return found


def of_size(image: Image.Image, like: Image.Image) -> Pixels:
    """A right answer as pixels (h, w, 3), at the size of the original."""
    if image.size != like.size:
        image = image.resize(like.size, Image.Resampling.LANCZOS)
    return np.asarray(image)
