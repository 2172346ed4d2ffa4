"""Cases through an editor: turn by turn, and past those that fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from overpaint.editing import Editor
from overpaint.errors import UserError
from overpaint.evaluation.cases import Case
from overpaint.evaluation.settings import SamplingSettings
from overpaint.seeds import derive_seed

GIVE_UP_AFTER = 16  # cases that fail from the first on, after which the rest is not tried


def edit_cases(
    editor: Editor, cases: Sequence[Case], settings: SamplingSettings
) -> list[Image.Image | UserError]:
    """The edited picture of each case, or why there is none.

    What is asked for earlier (`Case.earlier`) is done first, turn by turn on its own results.
    """
    due = list(cases)
    failed: dict[int, UserError] = {}
    for turn in range(max((len(case.earlier) for case in cases), default=0)):
        which = [i for i, case in enumerate(cases) if turn < len(case.earlier) and i not in failed]
        asked = [
            replace(due[i], instruction=cases[i].earlier[turn], key=f"{cases[i].key}-{turn + 1}")
            for i in which
        ]
        for i, edited in zip(which, _edit_once(editor, asked, settings), strict=True):
            if isinstance(edited, UserError):
                failed[i] = edited
            else:
                due[i] = replace(due[i], original=edited)
    left = [i for i in range(len(cases)) if i not in failed]
    made = dict(zip(left, _edit_once(editor, [due[i] for i in left], settings), strict=True))
    return [failed.get(i) or made[i] for i in range(len(cases))]


def _edit_once(
    editor: Editor, cases: Sequence[Case], settings: SamplingSettings
) -> list[Image.Image | UserError]:
    """Each picture edited by its case's last instruction, or why it could not be.

    Every case has a noise of its own, derived from the seed and its key. A batch in which one
    picture fails is done again one by one.
    """
    seeds = [derive_seed(settings.seed, "case", case.key) >> 1 for case in cases]

    def edit(which: Sequence[int]) -> list[Image.Image]:
        edits = editor.edit_pairs(
            [cases[i].original for i in which],
            [cases[i].instruction for i in which],
            seed=[seeds[i] for i in which],
            **settings.for_editor(),
        )
        return [edit.image for edit in edits]

    try:
        return list(edit(range(len(cases)))) if cases else []
    except UserError as error:
        if len(cases) == 1:
            return [error]
    edited: list[Image.Image | UserError] = []
    for index in range(len(cases)):
        try:
            edited += edit([index])
        except UserError as error:
            edited.append(error)
            if len(edited) == GIVE_UP_AFTER and all(isinstance(e, UserError) for e in edited):
                return [*edited, *[error] * (len(cases) - GIVE_UP_AFTER)]
    return edited
