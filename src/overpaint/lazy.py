"""Public names of a package that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def imported_on_demand(package: str, home_of: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package whose public names lie in other modules.

    Args:
        package: its `__name__`.
        home_of: public name -> the module that defines it.

    Returns:
        A function that gives the object of a name, and leaves it in the package, so that it is
        asked once a name. It raises AttributeError for any other name.
    """

    def find(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(home_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find
