"""Emu Edit's public test set: parquet with `image`, `instruction`, `task`, both captions, and no target.

Sheynin et al., Emu Edit (2311.10089): CLIP's directional similarity, CLIP and DINO similarity of
input and output, and CLIP similarity of output and caption. The preset leaves out, each by name,
rows that cannot be judged by their captions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from overpaint.data.cells import picture_of, text_of, words_of
from overpaint.errors import UserError
from overpaint.evaluation.cases import WITHOUT_KIND, Case, CaseSet
from overpaint.evaluation.published import Preset, PublishedSet
from overpaint.evaluation.published.shards import open_rows, row_cases

# The caption that many rows have in the place of one of their own.
_PLACEHOLDER = "a train station in city"


def read(folder: Path) -> CaseSet | None:
    """The rows; None where the folder holds none.

    Raises:
        UserError: the files are broken or empty.
    """
    rows = open_rows(folder, {"image", "instruction", "task"}, ("test", "validation"))
    if rows is None:
        return None

    def case(index: int, row: Mapping[str, Any], where: str) -> Case:
        return Case(
            key=f"emu-edit-{row.get('split')}-{row.get('idx', index)}-{row.get('hash')}",
            instruction=text_of(row["instruction"], f"{where}, instruction"),
            original=picture_of(row["image"], folder, f"{where}, image"),
            kind=words_of(row.get("task")) or WITHOUT_KIND,
            original_prompt=words_of(row.get("input_caption")),
            edited_prompt=words_of(row.get("output_caption")),
        )

    notes = ["Emu Edit has no right answers, so L1 and L2 were left out."]
    return row_cases(rows, "emu-edit", "edits of Emu Edit", case, notes)


def read_usable(folder: Path) -> CaseSet:
    """The rows, of which those that their captions cannot judge raise a UserError when read.

    Raises:
        UserError: the folder does not hold the set, or its files are broken or empty.
    """
    cases = read(folder)
    if cases is None:
        raise UserError(
            f"{folder} does not hold Emu Edit's test set (parquet with image, instruction, task and "
            "both captions), which the preset needs."
        )

    def usable(index: int) -> Case:
        case = cases.read(index)
        why = _unusable(case)
        if why is not None:
            raise UserError(f"row {index} ({case.key}) is unusable: {why}.")
        return case

    return replace(cases, read=usable)


def _unusable(case: Case) -> str | None:
    """Why a row cannot be judged by its captions."""
    then, now = ((words or "").split() for words in (case.original_prompt, case.edited_prompt))
    if not then or not now:
        return "a caption is empty"
    if [word.casefold() for word in then] == [word.casefold() for word in now]:
        return "its captions are equal"
    if _PLACEHOLDER in (" ".join(words).casefold().rstrip(".") for words in (then, now)):
        return f"a caption is the placeholder {_PLACEHOLDER!r}"
    return None


PUBLISHED = PublishedSet(
    read,
    {
        "emu-edit": Preset(
            read_usable,
            "rows whose captions are empty, equal or a placeholder are left out, each by its name. Not the "
            "same as published: L1 (theirs is between input and output) is left out, the noise, and "
            "which CLIP and DINO judged, since no code was published; here ViT-B/32 and "
            "dino_vits16, as later work has it.",
        )
    },
)
