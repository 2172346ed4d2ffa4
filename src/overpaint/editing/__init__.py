"""Editing pictures by instruction: the `Editor`, its settings, contact sheets.

The public names are loaded on first use, so that `editing.settings` costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from overpaint.editing.editor import Edit as Edit
    from overpaint.editing.editor import Editor as Editor

__all__ = ["Edit", "Editor"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'overpaint.editing' has no attribute {name!r}")
    value: object = getattr(import_module("overpaint.editing.editor"), name)
    globals()[name] = value
    return value
