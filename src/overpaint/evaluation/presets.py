"""Published protocols by name: which rows, which captions, which judges, and what is not the same.

magicbrush-single, magicbrush-multi
    Zhang et al., MagicBrush (2306.10012), quantitative evaluation on its test set: L1 and L2 to the
    target, CLIP-I and DINO (cosines to the target), CLIP-T (cosine to the caption of the edited
    part, `local_descriptions.json`), by CLIP ViT-B/32 and dino_vits16. Single turn: every turn of
    every session, from the annotators' picture before it. Multi turn: the editor's own output
    of turn k is the input of turn k + 1, and the last output of each session is judged.
emu-edit
    Sheynin et al., Emu Edit (2311.10089), its public test set: CLIP's directional similarity, CLIP
    and DINO similarity of input and output, and CLIP similarity of output and caption. Rows that
    cannot be judged by their captions are left out, each by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from overpaint.cells import picture_of, text_of
from overpaint.errors import UserError
from overpaint.evaluation.cases import Case, CaseSet, of_size
from overpaint.evaluation.published import (
    LOCAL,
    emu_edit,
    magicbrush,
    magicbrush_captions,
    magicbrush_root,
    magicbrush_turns,
    turn_of,
)
from overpaint.evaluation.settings import PUBLIC_DINO, PresetName

CLIP = "openai/clip-vit-base-patch32"
# The caption that many rows of Emu Edit's test set have in the place of one of their own.
_PLACEHOLDER = "a train station in city"


@dataclass(frozen=True)
class Preset:
    """A protocol: how it reads a folder, who judges, and what of it is not reproduced."""

    read: Callable[[Path], CaseSet]
    not_reproduced: str
    clip: str = CLIP
    dino: str = PUBLIC_DINO


def read_preset(name: PresetName, folder: Path) -> CaseSet:
    """The cases of a preset, with notes on what is not as published.

    Raises:
        UserError: the folder does not hold what the preset needs.
    """
    preset = PRESETS[name]
    cases = preset.read(folder)
    notes = (*cases.notes, f"Preset {name}: {preset.not_reproduced}")
    return replace(cases, settings={**cases.settings, "preset": name}, notes=notes)


def _single(folder: Path) -> CaseSet:
    return magicbrush(_with_local_captions(folder), LOCAL)


def _multi(folder: Path) -> CaseSet:
    root = _with_local_captions(folder)
    captions = magicbrush_captions(root, LOCAL)
    sessions: dict[str, list[Mapping[str, Any]]] = {}
    for turn in magicbrush_turns(root):
        sessions.setdefault(str(turn.get("output")).partition("-")[0], []).append(turn)
    names = list(sessions)

    def read(index: int) -> Case:
        return _session(root, names[index], sessions[names[index]], captions)

    single = magicbrush(root, LOCAL)
    settings = {**single.settings, "count": len(names)}
    return CaseSet(f"{len(names)} sessions of MagicBrush", settings, len(names), read)


def _session(
    root: Path, name: str, turns: Sequence[Mapping[str, Any]], captions: Mapping[str, str]
) -> Case:
    """All turns of a session as one case, judged after the last."""
    where = f"session {name} of {root.name}"
    ordered = sorted(turns, key=lambda turn: int(turn_of(str(turn.get("output"))) or 0))
    for before, after in pairwise(ordered):
        if after.get("input") != before.get("output"):
            raise UserError(f"{where} is no chain: {after.get('input')} is no output before it.")
    asked = tuple(text_of(turn.get("instruction"), f"{where}, instruction") for turn in ordered)
    last = text_of(ordered[-1].get("output"), f"{where}, output")
    first = text_of(ordered[0].get("input"), f"{where}, input")
    original = picture_of({"path": f"images/{name}/{first}"}, root, f"{where}, input")
    target = picture_of({"path": f"images/{name}/{last}"}, root, f"{where}, output")
    return Case(
        key=f"magicbrush-session-{name}",
        instruction=asked[-1],
        earlier=asked[:-1],
        original=original,
        kind=f"{len(asked)} turn{'s' if len(asked) > 1 else ''}",
        edited_prompt=captions.get(last),
        targets=(of_size(target, original),),
    )


def _with_local_captions(folder: Path) -> Path:
    root = magicbrush_root(folder)
    if root is None or not (root / LOCAL).is_file():
        raise UserError(
            f"{folder} does not hold MagicBrush's test set as its authors publish it "
            f"(edit_turns.json, {LOCAL} and images/), which the preset needs."
        )
    return root


def _emu_edit(folder: Path) -> CaseSet:
    cases = emu_edit(folder)
    if cases is None:
        raise UserError(
            f"{folder} does not hold Emu Edit's test set (parquet with image, instruction, task and "
            "both captions), which the preset needs."
        )

    def read(index: int) -> Case:
        case = cases.read(index)
        why = _unusable(case)
        if why is not None:
            raise UserError(f"row {index} ({case.key}) is unusable: {why}.")
        return case

    return replace(cases, read=read)


def _unusable(case: Case) -> str | None:
    """Why a row of Emu Edit cannot be judged by its captions."""
    then, now = ((words or "").split() for words in (case.original_prompt, case.edited_prompt))
    if not then or not now:
        return "a caption is empty"
    if [word.casefold() for word in then] == [word.casefold() for word in now]:
        return "its captions are equal"
    if _PLACEHOLDER in (" ".join(words).casefold().rstrip(".") for words in (then, now)):
        return f"a caption is the placeholder {_PLACEHOLDER!r}"
    return None


_MAGICBRUSH = (
    "CLIP-I is the row CLIP similarity to the target, DINO the row DINO similarity to the target, "
    "CLIP-T the row CLIP text similarity (with local captions). Not the same as published: the "
    "noise, the editors' own resizing, and the pictures' preparation for DINO."
)
PRESETS: dict[PresetName, Preset] = {
    "magicbrush-single": Preset(_single, _MAGICBRUSH),
    "magicbrush-multi": Preset(
        _multi, f"{_MAGICBRUSH} Similarity of the input is to the session's first picture."
    ),
    "emu-edit": Preset(
        _emu_edit,
        "rows whose captions are empty, equal or a placeholder are left out, each by its name. Not the "
        "same as published: L1 (theirs is between input and output) is left out, the noise, and "
        "which CLIP and DINO judged, since no code was published; here ViT-B/32 and "
        "dino_vits16, as later work has it.",
    ),
}
