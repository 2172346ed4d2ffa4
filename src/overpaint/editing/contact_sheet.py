"""Contact sheets of edits: what was asked for, with which options, and what came of it.

Options stand on a sheet as they are typed (`--seed 3`): those that all its pictures share below the
title, the others at each picture or row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from overpaint.contact_sheets import Cell, contact_sheet, in_words

if TYPE_CHECKING:
    from overpaint.families.contract import Edit

_COLUMNS = 5
SEED, TEXT_SCALE, IMAGE_SCALE = "--seed", "--guidance-scale", "--image-guidance-scale"


def edits_sheet(
    edits: Sequence[Edit],
    *,
    original: Image.Image | None = None,
    options: Mapping[str, Any] | None = None,
    side: int = 256,
) -> Image.Image:
    """All results of `Editor.edit_each` or `Editor.edit_in_turn`, with the original.

    Several instructions with several seeds make a row a seed, so that a column shows one
    instruction (or turn) and a row one sequence; otherwise the results run on row by row.
    `options` are further ones that hold of all results: `{"--steps": 20}`.
    """
    seeds = sorted({edit.seed for edit in edits})
    per_seed = [[edit for edit in edits if edit.seed == seed] for seed in seeds]
    shared = {**(options or {}), **_shared(edits)}
    if len(seeds) > 1 and len(per_seed[0]) > 1:
        return contact_sheet(
            [
                Cell(edit.image, detail=_varying(edit, shared, SEED))
                for row in per_seed
                for edit in row
            ],
            len(per_seed[0]),
            subtitle=in_words(shared),
            lead=Cell(original, detail="original") if original is not None else None,
            column_headers=[edit.instruction for edit in per_seed[0]],
            row_headers=[in_words({SEED: seed}) for seed in seeds],
            side=side,
        )
    one = len({edit.instruction for edit in edits}) == 1
    first = [Cell(original, detail="original")] if original is not None else []
    cells = [
        Cell(edit.image, "" if one else edit.instruction, _varying(edit, shared)) for edit in edits
    ]
    return contact_sheet(
        [*first, *cells],
        min(len(first) + len(cells), _COLUMNS),
        title=edits[0].instruction if one else "",
        subtitle=in_words(shared),
        side=side,
    )


def sweep_sheet(
    edits: Sequence[Edit],
    *,
    original: Image.Image | None = None,
    options: Mapping[str, Any] | None = None,
    side: int = 256,
) -> Image.Image:
    """The results of `Editor.sweep`: a column for each s_T, a row for each s_I."""
    text_scales = list(dict.fromkeys(edit.guidance_scale for edit in edits))
    image_scales = list(dict.fromkeys(edit.image_guidance_scale for edit in edits))
    return contact_sheet(
        [Cell(edit.image) for edit in edits],
        len(text_scales),
        title=edits[0].instruction,
        subtitle=in_words({**(options or {}), SEED: edits[0].seed}),
        lead=Cell(original, detail="original") if original is not None else None,
        column_headers=[in_words({TEXT_SCALE: scale}) for scale in text_scales],
        row_headers=[f"{IMAGE_SCALE} {scale:g}" for scale in image_scales],
        side=side,
    )


def options_of(edit: Edit) -> dict[str, Any]:
    """The options that made a result, as they are typed."""
    return {
        SEED: edit.seed,
        TEXT_SCALE: edit.guidance_scale,
        IMAGE_SCALE: edit.image_guidance_scale,
    }


def _shared(edits: Sequence[Edit]) -> dict[str, Any]:
    """The options that are the same for all of them."""
    every = [options_of(edit) for edit in edits]
    return {k: v for k, v in every[0].items() if all(one[k] == v for one in every)}


def _varying(edit: Edit, shared: Mapping[str, Any], *said: str) -> str:
    """The options of a result that are neither shared nor said elsewhere."""
    return in_words(
        {k: v for k, v in options_of(edit).items() if k not in shared and k not in said}
    )
