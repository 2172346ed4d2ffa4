"""MagicBrush (Zhang et al., 2306.10012): its test folder, its parquet, and both of its protocols.

The test set is `edit_turns.json` and `images/ID/ID-input.png`; train and dev are parquet with
`source_img`, `mask_img`, `instruction`, `target_img`. Every turn is a case of its own: the picture
before it is the annotators', not the editor's.

The paper's quantitative evaluation: L1 and L2 to the target, CLIP-I and DINO (cosines to the
target), CLIP-T (cosine to the caption of the edited part, `local_descriptions.json`), by CLIP
ViT-B/32 and dino_vits16. Single turn: every turn of every session, from the annotators' picture
before it. Multi turn: the editor's own output of turn k is the input of turn k + 1, and the last
output of each session is judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overpaint.data.cells import bytes_of, inside, picture_of, text_of
from overpaint.digests import digest
from overpaint.errors import UserError
from overpaint.evaluation.cases import WITHOUT_KIND, Case, CaseSet, of_size
from overpaint.evaluation.published import Preset, PublishedSet
from overpaint.evaluation.published.shards import open_rows, row_cases
from overpaint.files import read_json
from overpaint.images import load_opacity

GLOBAL, LOCAL = "global_descriptions.json", "local_descriptions.json"
Turn = Mapping[str, Any]
"""`input`, `mask`, `output` (names of pictures) and `instruction`."""


def read(folder: Path) -> CaseSet | None:
    """The turns of a test folder or of parquet files; None where the folder holds neither.

    Raises:
        UserError: the layout is known, but a file is broken or there is nothing in it.
    """
    root = _root(folder)
    return _parquet_turns(folder) if root is None else _turns(root, GLOBAL)


def read_single(folder: Path) -> CaseSet:
    """Every turn from the annotators' picture before it, with the captions of what was edited.

    Raises:
        UserError: the folder is not the test set as published, or a file is broken.
    """
    return _turns(_published_root(folder), LOCAL)


def read_multi(folder: Path) -> CaseSet:
    """Every session as one case: all its turns, judged after the last.

    Raises:
        UserError: the folder is not the test set as published, or a file is broken.
    """
    root = _published_root(folder)
    captions = _captions(root, LOCAL)
    sessions: dict[str, list[Turn]] = {}
    for turn in _read_turns(root):
        sessions.setdefault(str(turn.get("output")).partition("-")[0], []).append(turn)
    names = list(sessions)

    def case(index: int) -> Case:
        return _session(root, names[index], sessions[names[index]], captions)

    settings = {**_turns(root, LOCAL).settings, "count": len(names)}
    return CaseSet(f"{len(names)} sessions of MagicBrush", settings, len(names), case)


def _root(folder: Path) -> Path | None:
    """Where `edit_turns.json` is, in a folder or below it; None: nowhere."""
    roots = (folder, folder / "test", folder / "dev")
    return next((root for root in roots if (root / "edit_turns.json").is_file()), None)


def _published_root(folder: Path) -> Path:
    root = _root(folder)
    if root is None or not (root / LOCAL).is_file():
        raise UserError(
            f"{folder} does not hold MagicBrush's test set as its authors publish it "
            f"(edit_turns.json, {LOCAL} and images/), which the preset needs."
        )
    return root


def _read_turns(root: Path) -> list[Turn]:
    turns = read_json(root / "edit_turns.json", list)
    if not all(isinstance(turn, Mapping) for turn in turns):
        raise UserError(f"{root / 'edit_turns.json'} is no list of edits.")
    if not turns:
        raise UserError(f"{root / 'edit_turns.json'} names no edits.")
    return turns


def _captions(root: Path, name: str) -> dict[str, str]:
    """The caption of each picture by its name, from `GLOBAL` or `LOCAL`; none without the file."""
    path = root / name
    sessions = read_json(path, dict) if path.is_file() else {}
    captions: dict[str, str] = {}
    for words in sessions.values():
        if not isinstance(words, Mapping):
            raise UserError(f"{path} is no table of captions by session and picture.")
        captions |= {str(name): said for name, said in words.items() if isinstance(said, str)}
    return captions


def _turns(root: Path, described: str) -> CaseSet:
    """Every turn as a case of its own; captions of what was edited alone (`LOCAL`) have no before."""
    turns = _read_turns(root)
    captions = _captions(root, described)

    def case(index: int) -> Case:
        where = f"turn {index} of {root.name}"
        turn = turns[index]
        before = text_of(turn.get("input"), f"{where}, input")
        after = text_of(turn.get("output"), f"{where}, output")
        folder = f"images/{before.partition('-')[0]}"
        original = picture_of({"path": f"{folder}/{before}"}, root, f"{where}, input")
        target = picture_of({"path": f"{folder}/{after}"}, root, f"{where}, output")
        mask = inside(f"{folder}/{turn.get('mask')}", root)
        return Case(
            key=f"magicbrush-{after}",
            instruction=text_of(turn.get("instruction"), f"{where}, instruction"),
            original=original,
            kind=_kind(_number(after)),
            original_prompt=captions.get(before) if described == GLOBAL else None,
            edited_prompt=captions.get(after),
            targets=(of_size(target, original),),
            untouched=_opaque(mask.read_bytes(), original.size) if mask.is_file() else None,
        )

    notes = () if captions else (_no_captions(root.name),)
    settings = {"data": "magicbrush", "folder": root.name, "count": len(turns)}
    settings["sha256"] = digest(root)
    return CaseSet(f"{len(turns)} edits of MagicBrush", settings, len(turns), case, notes)


def _parquet_turns(folder: Path) -> CaseSet | None:
    rows = open_rows(folder, {"source_img", "target_img", "instruction"}, ("test", "dev"))
    if rows is None:
        return None

    def case(index: int, row: Mapping[str, Any], where: str) -> Case:
        original = picture_of(row["source_img"], folder, f"{where}, source_img")
        target = picture_of(row["target_img"], folder, f"{where}, target_img")
        mask = bytes_of(row.get("mask_img"))
        return Case(
            key=f"magicbrush-{row.get('img_id', f'row {index}')}-{row.get('turn_index')}",
            instruction=text_of(row["instruction"], f"{where}, instruction"),
            original=original,
            kind=_kind(row.get("turn_index")),
            targets=(of_size(target, original),),
            untouched=_opaque(mask, original.size) if mask else None,
        )

    notes = [_no_captions(folder.name)]
    if "mask_img" not in rows.column_names:
        notes.append(
            "MagicBrush's masks are not here, so the PSNR of untouched pixels was left out."
        )
    return row_cases(rows, "magicbrush", "edits of MagicBrush", case, notes)


def _session(root: Path, name: str, turns: Sequence[Turn], captions: Mapping[str, str]) -> Case:
    """All turns of a session as one case, judged after the last."""
    where = f"session {name} of {root.name}"
    ordered = sorted(turns, key=lambda turn: int(_number(str(turn.get("output"))) or 0))
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


def _number(output: str) -> str:
    """The number in the name of a turn's result, ID-output2.png, or nothing."""
    number = output.rpartition("output")[2].partition(".")[0]
    return number if number.isdecimal() else ""


def _kind(number: object) -> str:
    """Kinds of MagicBrush are the turns of its sessions; later ones build on more edits."""
    return f"turn {number}" if str(number).isdecimal() else WITHOUT_KIND


def _opaque(content: bytes, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Where MagicBrush's mask keeps the picture: what is to be edited is transparent in it.

    None where the mask cannot be read, is of another size, or has no transparency.
    """
    opacity: Image.Image | None = load_opacity(content)
    return None if opacity is None or opacity.size != size else np.asarray(opacity) > 127


def _no_captions(name: str) -> str:
    return (
        f"{name} has no captions (global_descriptions.json): CLIP's directional and text "
        "similarity were left out."
    )


_NOT_REPRODUCED = (
    "CLIP-I is the row CLIP similarity to the target, DINO the row DINO similarity to the target, "
    "CLIP-T the row CLIP text similarity (with local captions). Not the same as published: the "
    "noise, the editors' own resizing, and the pictures' preparation for DINO."
)
PUBLISHED = PublishedSet(
    read,
    {
        "magicbrush-single": Preset(read_single, _NOT_REPRODUCED),
        "magicbrush-multi": Preset(
            read_multi,
            f"{_NOT_REPRODUCED} Similarity of the input is to the session's first picture.",
        ),
    },
)
