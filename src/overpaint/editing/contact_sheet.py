"""Contact sheets of edits: what was asked for, with which seed and scales, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from overpaint.contact_sheets import Cell, contact_sheet

if TYPE_CHECKING:
    from overpaint.families.contract import Edit

_COLUMNS = 5


def edits_sheet(
    edits: Sequence[Edit], *, original: Image.Image | None = None, side: int = 256
) -> Image.Image:
    """All results of `Editor.edit_each` or `Editor.edit_in_turn`, the original before them.

    Several instructions with several seeds make a row a seed, so that a column shows one
    instruction (or turn) and a row one sequence; otherwise the results run on row by row.
    """
    first = [Cell(original, "original")] if original is not None else []
    seeds = sorted({edit.seed for edit in edits})
    per_seed = [[cell_of(edit) for edit in edits if edit.seed == seed] for seed in seeds]
    if len(seeds) > 1 and len(per_seed[0]) > 1:
        columns = len(first) + len(per_seed[0])
        cells = [cell for row in per_seed for cell in (*first, *row)]
    else:
        cells = [*first, *map(cell_of, edits)]
        columns = min(len(cells), _COLUMNS)
    return contact_sheet(cells, columns, side=side)


def sweep_sheet(edits: Sequence[Edit], *, side: int = 256) -> Image.Image:
    """The results of `Editor.sweep`: a column for each s_T, a row for each s_I."""
    one = edits[0]
    text_scales = list(dict.fromkeys(edit.guidance_scale for edit in edits))
    image_scales = list(dict.fromkeys(edit.image_guidance_scale for edit in edits))
    return contact_sheet(
        [Cell(edit.image) for edit in edits],
        len(text_scales),
        title=f"{one.instruction} (seed {one.seed})",
        column_headers=[f"text {scale:g}" for scale in text_scales],
        row_headers=[f"image {scale:g}" for scale in image_scales],
        side=side,
    )


def cell_of(edit: Edit) -> Cell:
    """A picture captioned with its instruction, and below it its seed and scales."""
    how = f"seed {edit.seed} · text {edit.guidance_scale:g} · image {edit.image_guidance_scale:g}"
    return Cell(edit.image, edit.instruction, how)
