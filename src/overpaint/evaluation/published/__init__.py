"""Test sets that others published, and their protocols (presets). One module here is one set.

A module that has a `PUBLISHED` of the type `PublishedSet` is found by itself: a new set is one new file.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path

from overpaint.errors import UserError
from overpaint.evaluation.cases import CaseSet

CLIP = "openai/clip-vit-base-patch32"
DINO = "facebook/dino-vits16"


@dataclass(frozen=True)
class Preset:
    """A published protocol: how it reads a folder, who judges, and what of it is not reproduced.

    `read` raises a UserError where the folder does not hold what the protocol needs.
    """

    read: Callable[[Path], CaseSet]
    not_reproduced: str
    clip: str = CLIP
    dino: str = DINO


@dataclass(frozen=True)
class PublishedSet:
    """A test set in the layout in which its authors publish it.

    `read` gives its cases, None where a folder holds something else, and raises a UserError
    where it holds the set broken or empty. `presets` are its protocols by their names.
    """

    read: Callable[[Path], CaseSet | None]
    presets: Mapping[str, Preset] = field(default_factory=dict)


@cache
def published_sets() -> tuple[PublishedSet, ...]:
    """The `PUBLISHED` of every module of this package."""
    modules = [
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    ]
    return tuple(module.PUBLISHED for module in modules if hasattr(module, "PUBLISHED"))


def presets() -> dict[str, Preset]:
    """All presets by their names."""
    return {name: preset for one in published_sets() for name, preset in one.presets.items()}


def read_published(folder: Path) -> CaseSet | None:
    """The cases of a folder that holds a published set; None where it holds none.

    Raises:
        UserError: the layout is known, but a file is broken or there is nothing in it.
    """
    read = (one.read(folder) for one in published_sets())
    return next((cases for cases in read if cases is not None), None)


def read_preset(name: str, folder: Path) -> CaseSet:
    """The cases of a preset, with notes on what is not as published.

    Raises:
        UserError: there is no such preset, or the folder does not hold what it needs.
    """
    known = presets()
    if name not in known:
        raise UserError(f"there is no preset {name!r}: there are {', '.join(known)}.")
    cases = known[name].read(folder)
    notes = (*cases.notes, f"Preset {name}: {known[name].not_reproduced}")
    return replace(cases, settings={**cases.settings, "preset": name}, notes=notes)
