"""The test sets of others, in the folders in which their authors publish them.

MagicBrush (2306.10012): `edit_turns.json` and `images/ID/ID-input.png` (the test set), or parquet
with `source_img`, `mask_img`, `instruction`, `target_img` (train and dev). Every turn is a case of
its own: the picture before it is the annotators', not the editor's (`presets` has its protocols).
Emu Edit (2311.10089): parquet with `image`, `instruction`, `task`, both captions, and no target.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overpaint.cells import bytes_of, inside, named_digests, picture_of, text_of, words_of
from overpaint.digests import combined, digest
from overpaint.errors import UserError
from overpaint.evaluation.cases import (
    WITHOUT_KIND,
    Case,
    CaseSet,
    of_size,
)
from overpaint.files import read_json
from overpaint.images import load_opacity
from overpaint.parquet import ParquetRows

_MAGICBRUSH = {"source_img", "target_img", "instruction"}
_EMU_EDIT = {"image", "instruction", "task"}
GLOBAL, LOCAL = "global_descriptions.json", "local_descriptions.json"
_MASKS_MISSING = "MagicBrush's masks are not here, so the PSNR of untouched pixels was left out."


def read_published(folder: Path) -> CaseSet | None:
    """The cases of a folder in one of these layouts; None where it has neither.

    Raises:
        UserError: the layout is known, but a file is broken or there is nothing in it.
    """
    root = magicbrush_root(folder)
    if root is not None:
        return magicbrush(root)
    paths = _parquet(folder)
    if paths and _columns(paths[0]) >= _MAGICBRUSH:
        return _magicbrush_rows(folder, _chosen(paths, ("test", "dev")))
    return emu_edit(folder)


def magicbrush_root(folder: Path) -> Path | None:
    """Where MagicBrush's `edit_turns.json` is, in a folder or below it; None: nowhere."""
    roots = (folder, folder / "test", folder / "dev")
    return next((root for root in roots if (root / "edit_turns.json").is_file()), None)


def magicbrush_turns(root: Path) -> list[Mapping[str, Any]]:
    """Every turn: `input`, `mask`, `output` (names of pictures) and `instruction`.

    Raises:
        UserError: the file is broken, or there is nothing in it.
    """
    turns = read_json(root / "edit_turns.json", list)
    if not all(isinstance(turn, Mapping) for turn in turns):
        raise UserError(f"{root / 'edit_turns.json'} is no list of edits.")
    if not turns:
        raise UserError(f"{root / 'edit_turns.json'} names no edits.")
    return turns


def magicbrush_captions(root: Path, described: str) -> dict[str, str]:
    """The caption of each picture by its name, from `GLOBAL` or `LOCAL`; none without the file.

    Raises:
        UserError: the file is broken.
    """
    path = root / described
    sessions = read_json(path, dict) if path.is_file() else {}
    captions: dict[str, str] = {}
    for words in sessions.values():
        if not isinstance(words, Mapping):
            raise UserError(f"{path} is no table of captions by session and picture.")
        captions |= {str(name): said for name, said in words.items() if isinstance(said, str)}
    return captions


def magicbrush(root: Path, described: str = GLOBAL) -> CaseSet:
    """Every turn as a case of its own; captions of what was edited alone (`LOCAL`) have no before.

    Raises:
        UserError: a file of the folder is broken, or there is nothing in it.
    """
    turns = magicbrush_turns(root)
    captions = magicbrush_captions(root, described)

    def read(index: int) -> Case:
        where = f"turn {index} of {root.name}"
        turn = turns[index]
        before = text_of(turn.get("input"), f"{where}, input")
        after = text_of(turn.get("output"), f"{where}, output")
        folder = f"images/{before.partition('-')[0]}"

        def cell(name: str) -> dict[str, str]:
            return {"path": f"{folder}/{name}"}

        original = picture_of(cell(before), root, f"{where}, input")
        return _magicbrush_case(
            key=f"magicbrush-{after}",
            instruction=text_of(turn.get("instruction"), f"{where}, instruction"),
            pictures=(original, picture_of(cell(after), root, f"{where}, output")),
            mask=_mask_file(f"{folder}/{turn.get('mask')}", root, original.size),
            captions=(captions.get(before) if described == GLOBAL else None, captions.get(after)),
            kind=_turn(turn_of(after)),
        )

    notes = () if captions else (_no_captions(root.name),)
    settings = {"data": "magicbrush", "folder": root.name, "count": len(turns)}
    settings["sha256"] = digest(root)
    return CaseSet(f"{len(turns)} edits of MagicBrush", settings, len(turns), read, notes)


def _described(path: Path) -> dict[str, str]:
    """Captions by the names of pictures; empty where the file is not there."""
    sessions = read_json(path, dict) if path.is_file() else {}
    if not all(isinstance(words, Mapping) for words in sessions.values()):
        raise UserError(f"{path} does not hold captions by session and picture.")
    pairs = (pair for words in sessions.values() for pair in words.items())
    return {name: caption for name, caption in pairs if isinstance(caption, str)}


def _magicbrush_rows(folder: Path, paths: list[Path]) -> CaseSet:
    rows = _read_rows(paths, folder)

    def read(index: int) -> Case:
        row = rows[index]
        where = f"row {index} of {folder.name}"
        original = picture_of(row["source_img"], folder, f"{where}, source_img")
        stored = bytes_of(row.get("mask_img"))
        return _magicbrush_case(
            key=f"magicbrush-{row.get('img_id', f'row {index}')}-{row.get('turn_index')}",
            instruction=text_of(row["instruction"], f"{where}, instruction"),
            pictures=(original, picture_of(row["target_img"], folder, f"{where}, target_img")),
            mask=_opaque(stored, original.size) if stored else None,
            captions=(None, None),
            kind=_turn(row.get("turn_index")),
        )

    settings = {"data": "magicbrush", "folder": folder.name, "count": len(rows)}
    settings["sha256"] = _digest_of(paths, rows)
    notes = [_no_captions(folder.name)]
    if "mask_img" not in rows.column_names:
        notes.append(_MASKS_MISSING)
    return CaseSet(f"{len(rows)} edits of MagicBrush", settings, len(rows), read, tuple(notes))


def _magicbrush_case(
    *,
    key: str,
    instruction: str,
    pictures: tuple[Image.Image, Image.Image],
    mask: NDArray[np.bool_] | None,
    captions: tuple[str | None, str | None],
    kind: str,
) -> Case:
    original, target = pictures
    return Case(
        key=key,
        instruction=instruction,
        original=original,
        kind=kind,
        original_prompt=captions[0],
        edited_prompt=captions[1],
        targets=(of_size(target, original),),
        untouched=mask,
    )


def turn_of(output: str) -> str:
    """The number in the name of a turn's result, ID-output2.png, or nothing."""
    number = output.rpartition("output")[2].partition(".")[0]
    return number if number.isdecimal() else ""


def _turn(number: object) -> str:
    """Kinds of MagicBrush are the turns of its sessions; later ones build on more edits."""
    return f"turn {number}" if str(number).isdecimal() else WITHOUT_KIND


def _mask_file(name: str, root: Path, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    path = inside(name, root)
    return _opaque(path.read_bytes(), size) if path.is_file() else None


def _opaque(content: bytes, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Where MagicBrush's mask keeps the picture: what is to be edited is transparent in it.

    None where the mask cannot be read, is of another size, or has no transparency.
    """
    opacity = load_opacity(content)
    return None if opacity is None or opacity.size != size else np.asarray(opacity) > 127


def emu_edit(folder: Path) -> CaseSet | None:
    """The cases of Emu Edit's parquet; None where the folder holds none.

    Raises:
        UserError: it is broken or empty.
    """
    paths = _parquet(folder)
    if not paths or not _columns(paths[0]) >= _EMU_EDIT:
        return None
    return _emu_edit_rows(folder, _chosen(paths, ("test", "validation")))


def _parquet(folder: Path) -> list[Path]:
    return sorted(folder.glob("data/*.parquet")) or sorted(folder.glob("*.parquet"))


def _emu_edit_rows(folder: Path, paths: list[Path]) -> CaseSet:
    rows = _read_rows(paths, folder)

    def read(index: int) -> Case:
        row = rows[index]
        where = f"row {index} of {folder.name}"
        return Case(
            key=f"emu-edit-{row.get('split')}-{row.get('idx', index)}-{row.get('hash')}",
            instruction=text_of(row["instruction"], f"{where}, instruction"),
            original=picture_of(row["image"], folder, f"{where}, image"),
            kind=words_of(row.get("task")) or WITHOUT_KIND,
            original_prompt=words_of(row.get("input_caption")),
            edited_prompt=words_of(row.get("output_caption")),
        )

    settings = {"data": "emu-edit", "folder": folder.name, "count": len(rows)}
    settings["sha256"] = _digest_of(paths, rows)
    notes = ("Emu Edit has no right answers, so L1 and L2 were left out.",)
    return CaseSet(f"{len(rows)} edits of Emu Edit", settings, len(rows), read, notes)


def _digest_of(paths: list[Path], rows: ParquetRows) -> str:
    return combined({path.name: digest(path) for path in paths} | named_digests(rows))


def _chosen(paths: list[Path], splits: tuple[str, ...]) -> list[Path]:
    """The shards of the first of these splits that is there, else all of them."""
    for split in splits:
        if named := [path for path in paths if path.name.startswith(split)]:
            return named
    return paths


def _columns(path: Path) -> set[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return set(pq.read_schema(path).names)
    except (pa.ArrowInvalid, OSError):
        return set()  # the reader of pairs says what is wrong with it


def _read_rows(paths: list[Path], folder: Path) -> ParquetRows:
    rows = ParquetRows(paths, folder)
    if not len(rows):
        raise UserError(f"{paths[0].parent} holds no edits: its files are empty.")
    return rows


def _no_captions(name: str) -> str:
    return (
        f"{name} has no captions (global_descriptions.json): CLIP's directional and text "
        "similarity were left out."
    )
