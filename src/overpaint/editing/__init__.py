"""Editing pictures by instruction: the `Editor`, what it is asked and gives, contact sheets.

The public names are loaded on first use, so that nothing heavy is imported before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from overpaint.editing.editor import Editor as Editor
    from overpaint.families.contract import Edit as Edit
    from overpaint.families.contract import EditRequest as EditRequest

_CONTRACT = "overpaint.families.contract"
_HOME_OF = {"Edit": _CONTRACT, "EditRequest": _CONTRACT, "Editor": "overpaint.editing.editor"}

__all__ = [*_HOME_OF]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for (PEP 562)."""
        if name not in _HOME_OF:
            raise AttributeError(f"module 'overpaint.editing' has no attribute {name!r}")
        value: object = getattr(import_module(_HOME_OF[name]), name)
        globals()[name] = value
        return value
