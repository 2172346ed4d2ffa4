"""Overpaint: edit pictures by instruction, and train the models that do it.

The public names are loaded on first use, so that `import overpaint` costs nothing:
`Editor` edits pictures, `UserError` is what every mistake of the user's raises.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from overpaint.editing import Editor as Editor
    from overpaint.errors import UserError as UserError

__version__ = "0.1.0"

__all__ = ["Editor", "UserError", "__version__"]

_HOME_OF = {"Editor": "overpaint.editing", "UserError": "overpaint.errors"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'overpaint' has no attribute {name!r}")
    value: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
