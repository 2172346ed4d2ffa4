"""The test sets of others, in the folders in which their authors publish them.

MagicBrush (2306.10012): `edit_turns.json` and `images/ID/ID-input.png` (the test set), or parquet
with `source_img`, `mask_img`, `instruction`, `target_img` (train and dev). Every turn is a case of
its own: the picture before it is the annotators', not the editor's (`presets` has its protocols).
Emu Edit (2311.10089): parquet with `image`, `instruction`, `task`, both captions, and no target.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from overpaint.errors import UserError
from overpaint.evaluation.cases import (
    WITHOUT_KIND,
    Case,
    CaseSet,
    of_size,
    picture,
    rows_fingerprint,
    text,
    undecoded,
)
from overpaint.files import content_hash, reason
from overpaint.images import load_image

if TYPE_CHECKING:
    from datasets import Dataset

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
    turns = _json(root / "edit_turns.json")
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
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
    sessions = _json(path) if path.is_file() else {}
    if not isinstance(sessions, Mapping):
        raise UserError(f"{path} is no table of captions.")
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
        turn = turns[index]
        where = f"turn {index} of {root.name}"
        before = text(turn.get("input"), f"{where}, input")
        after = text(turn.get("output"), f"{where}, output")
        folder = root / "images" / before.partition("-")[0]
        original = load_image(folder / before)
        return _magicbrush_case(
            key=f"magicbrush-{after}",
            instruction=text(turn.get("instruction"), f"{where}, instruction"),
            pictures=(original, load_image(folder / after)),
            mask=_mask_file(folder / str(turn.get("mask")), original.size),
            captions=(captions.get(before) if described == GLOBAL else None, captions.get(after)),
            kind=_turn(turn_of(after)),
        )

    notes = () if captions else (_no_captions(root.name),)
    settings = {"data": "magicbrush", "folder": root.name, "count": len(turns)}
    settings["fingerprint"] = content_hash(root / "edit_turns.json")[:12]
    return CaseSet(f"{len(turns)} edits of MagicBrush", settings, len(turns), read, notes)


def _magicbrush_rows(folder: Path, paths: list[Path]) -> CaseSet:
    rows = _read_rows(paths)

    def read(index: int) -> Case:
        row = rows[index]
        where = f"row {index} of {folder.name}"
        original = picture(row["source_img"], f"{where}, source_img")
        stored = (row.get("mask_img") or {}).get("bytes")
        return _magicbrush_case(
            key=f"magicbrush-{row.get('img_id')}-{row.get('turn_index')}",
            instruction=text(row["instruction"], f"{where}, instruction"),
            pictures=(original, picture(row["target_img"], f"{where}, target_img")),
            mask=_opaque(stored, original.size) if stored else None,
            captions=(None, None),
            kind=_turn(row.get("turn_index")),
        )

    settings = {"data": "magicbrush", "folder": folder.name, "count": len(rows)}
    settings["fingerprint"] = rows_fingerprint(rows, "source_img")
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


def _mask_file(path: Path, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    return _opaque(path.read_bytes(), size) if path.is_file() else None


def _opaque(content: bytes, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Where MagicBrush's mask keeps the picture: what is to be edited is transparent in it.

    None where the mask cannot be read, is of another size, or has no transparency.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as mask:
            if mask.mode not in ("RGBA", "LA") or mask.size != size:
                return None
            return np.asarray(mask.getchannel("A")) > 127
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None


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
    rows = _read_rows(paths)

    def read(index: int) -> Case:
        row = rows[index]
        where = f"row {index} of {folder.name}"
        return Case(
            key=f"emu-edit-{row.get('split')}-{row.get('idx', index)}-{row.get('hash')}",
            instruction=text(row["instruction"], f"{where}, instruction"),
            original=picture(row["image"], f"{where}, image"),
            kind=row.get("task") or WITHOUT_KIND,
            original_prompt=row.get("input_caption") or None,
            edited_prompt=row.get("output_caption") or None,
        )

    settings = {"data": "emu-edit", "folder": folder.name, "count": len(rows)}
    settings["fingerprint"] = rows_fingerprint(rows, "image")
    notes = ("Emu Edit has no right answers, so L1 and L2 were left out.",)
    return CaseSet(f"{len(rows)} edits of Emu Edit", settings, len(rows), read, notes)


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


def _read_rows(paths: list[Path]) -> Dataset:
    from datasets import Dataset, disable_progress_bars
    from datasets import Image as ImageFeature
    from datasets.exceptions import DatasetGenerationError
    from pyarrow.parquet import read_metadata

    if sum(read_metadata(path).num_rows for path in paths) == 0:
        raise UserError(f"{paths[0].parent} holds no edits: its files are empty.")
    disable_progress_bars()
    try:
        rows = Dataset.from_parquet([str(path) for path in paths])
    except (DatasetGenerationError, OSError, ValueError) as error:
        cause = " ".join(str(error.__cause__ or error).split())
        raise UserError(f"cannot read {paths[0].parent}: {cause}.") from error
    for name in ("image", "source_img", "target_img", "mask_img"):
        if name in rows.column_names and not isinstance(rows.features[name], ImageFeature):
            rows = rows.cast_column(name, ImageFeature())
    return undecoded(rows)


def _json(path: Path) -> Any:
    try:
        read: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}.") from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}.") from error
    if not isinstance(read, list | Mapping):
        raise UserError(f"{path} holds neither a list nor a table.")
    return read


def _no_captions(name: str) -> str:
    return (
        f"{name} has no captions (global_descriptions.json): CLIP's directional and text "
        "similarity were left out."
    )
