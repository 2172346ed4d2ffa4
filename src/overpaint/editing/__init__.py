"""Editing pictures by instruction: the `Editor`, what it is asked and gives, contact sheets.

The public names are loaded on first use, so that nothing heavy is imported before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from overpaint.lazy import imported_on_demand

if TYPE_CHECKING:
    from overpaint.editing.editor import Editor as Editor
    from overpaint.families.contract import Edit as Edit
    from overpaint.families.contract import EditRequest as EditRequest

_CONTRACT = "overpaint.families.contract"
_HOME_OF = {"Edit": _CONTRACT, "EditRequest": _CONTRACT, "Editor": "overpaint.editing.editor"}

__all__ = [*_HOME_OF]


if not TYPE_CHECKING:
    __getattr__ = imported_on_demand(__name__, _HOME_OF)
