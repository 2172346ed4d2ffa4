"""Overpaint: edit pictures by instruction, and train the models that do it.

The public names are loaded on first use, so that `import overpaint` costs nothing:
`Editor` edits pictures, `UserError` is what every mistake of the user's raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from overpaint.lazy import imported_on_demand

if TYPE_CHECKING:
    from overpaint.editing import Editor as Editor
    from overpaint.errors import UserError as UserError

__version__ = "0.1.0"

__all__ = ["Editor", "UserError", "__version__"]

_HOME_OF = {"Editor": "overpaint.editing", "UserError": "overpaint.errors"}


__getattr__ = imported_on_demand(__name__, _HOME_OF)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
