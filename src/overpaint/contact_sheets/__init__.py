"""Pictures with words: contact sheets and before-after strips, drawn with Pillow alone."""

from __future__ import annotations

from overpaint.contact_sheets.before_after import BeforeAfter, before_after
from overpaint.contact_sheets.contact_sheet import Cell, contact_sheet
from overpaint.contact_sheets.lettering import in_words

__all__ = ["BeforeAfter", "Cell", "before_after", "contact_sheet", "in_words"]
