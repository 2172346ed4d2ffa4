"""What an editor is evaluated on: pictures, instructions, and what is known of the right answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overpaint.cells import bytes_of, pairs_digest, picture_of, text_of, words_of
from overpaint.errors import UserError
from overpaint.evaluation.accuracy import benchmark_example
from overpaint.evaluation.settings import PresetName
from overpaint.metrics.pixelwise import Pixels
from overpaint.rows import TRIPLET_COLUMNS
from overpaint.scenes.catalogue import World
from overpaint.scenes.dataset import drawn_by
from overpaint.scenes.examples import Split, candidates
from overpaint.shards import read_pairs

CANDIDATES = 32
_OF_SCENES = (
    "Pairs of scenes hold one right answer, and no other pictures to choose from: target retrieval@1 "
    "was left out (evaluate on --scenes for it), and where several answers are right (add), "
    "distances and similarities to the target are to that one."
)
SEVERAL_ANSWERS = ("add",)
"""Kinds of edit of scenes with several right answers, of which pairs store one."""
WITHOUT_KIND = "all"


@dataclass(frozen=True)
class Case:
    """One picture and one instruction.

    `earlier` are instructions to be followed before it, each on the result of the one before.
    `targets` are the right answers (h, w, 3), of the original's size, and `wrong` gives what
    retrieval chooses from besides; `untouched` (h, w) says which pixels should stay. Each is
    empty or None where the data does not tell.
    """

    key: str
    instruction: str
    original: Image.Image
    kind: str = WITHOUT_KIND
    original_prompt: str | None = None
    edited_prompt: str | None = None
    targets: tuple[Pixels, ...] = ()
    untouched: NDArray[np.bool_] | None = None
    wrong: Callable[[], list[Pixels]] | None = None
    earlier: tuple[str, ...] = ()

    @property
    def asked(self) -> str:
        """All that is asked for, in its order."""
        return " → ".join((*self.earlier, self.instruction))


@dataclass(frozen=True)
class CaseSet:
    """`count` cases; `read` makes one of its index, or raises a UserError where it is broken.

    `settings` (plain values) name the cases: equal settings, equal cases. `title` is for people.
    """

    title: str
    settings: Mapping[str, Any]
    count: int
    read: Callable[[int], Case]
    notes: tuple[str, ...] = field(default=())


def scene_cases(
    count: int, seed: int, split: Split = "heldout", world: World = "small", size: int = 64
) -> CaseSet:
    """Scenes with exact answers: those of `accuracy.benchmark_examples`."""

    def read(index: int) -> Case:
        example = benchmark_example(index, seed, split, world, size)
        return Case(
            key=f"{split}-{world}-{size}-{example.seed:016x}",
            instruction=example.edit_prompt,
            original=Image.fromarray(example.original),
            kind=example.kind,
            original_prompt=example.original_prompt,
            edited_prompt=example.edited_prompt,
            targets=example.targets,
            untouched=example.untouched,
            wrong=lambda: candidates(example, CANDIDATES),
        )

    settings = {"data": "scenes", "count": count, "seed": seed, "split": split}
    settings |= {"world": world, "size": size, "drawn by": drawn_by()}
    return CaseSet(f"{count} scenes ({split}, seed {seed})", settings, count, read)


def read_cases(
    folder: str | Path, limit: int | None = None, preset: PresetName | None = None
) -> CaseSet:
    """The cases in a folder: pairs as every stage writes them, MagicBrush or Emu Edit.

    `limit` takes the first so many; `preset` names a published protocol (`presets`).

    Raises:
        UserError: there is no such folder, it is empty, or it holds none of these.
    """
    from overpaint.evaluation.presets import read_preset
    from overpaint.evaluation.published import read_published

    folder = Path(folder)
    if preset is not None:
        cases = read_preset(preset, folder)
    else:
        cases = read_published(folder) or _pair_cases(folder)
    if limit is None or limit >= cases.count:
        return cases
    settings = {**cases.settings, "count": limit}
    title = f"{cases.title}, the first {limit}"
    return replace(cases, title=title, settings=settings, count=limit)


def _pair_cases(folder: Path) -> CaseSet:
    """A folder of pairs; captions and kinds may be absent, as in public data."""
    rows = read_pairs(folder)
    absent = [c for c in ("original_prompt", "edited_prompt") if c not in rows.column_names]
    notes = []
    if absent:
        notes.append(
            f"{folder.name} has no column {' or '.join(absent)}: CLIP's directional and text "
            "similarity need captions and were left out."
        )
    if "method" in rows.column_names and "scenes" in rows["method"]:
        notes.append(_OF_SCENES)

    def read(index: int) -> Case:
        row = rows[index]
        where = f"row {index} of {folder.name}"
        original = picture_of(row["original_image"], folder, f"{where}, original_image")
        edited = picture_of(row["edited_image"], folder, f"{where}, edited_image")
        target = of_size(edited, original)
        return Case(
            key=f"{index}-{_fingerprint(row)}",
            instruction=text_of(row["edit_prompt"], f"{where}, edit_prompt"),
            original=original,
            kind=words_of(row.get("kind")) or WITHOUT_KIND,
            original_prompt=words_of(row.get("original_prompt")),
            edited_prompt=words_of(row.get("edited_prompt")),
            targets=(target,),
            untouched=_untouched(row, folder, where, original, target),
        )

    settings = {"data": "pairs", "folder": folder.name, "count": len(rows)}
    settings["sha256"] = pairs_digest(rows)
    return CaseSet(f"{len(rows)} pairs of {folder.name}", settings, len(rows), read, tuple(notes))


def _untouched(
    row: Mapping[str, Any], folder: Path, where: str, original: Image.Image, target: Pixels
) -> NDArray[np.bool_] | None:
    """The pixels that should stay, as far as a row of pairs tells; its mask is black there."""
    if row.get("mask"):
        mask = np.asarray(picture_of(row["mask"], folder, f"{where}, mask").convert("L"))
        if mask.shape != target.shape[:2]:
            raise UserError(f"{where} has a mask of another size than its original_image.")
        return mask < 128
    if row.get("method") == "scenes" and row.get("kind") not in SEVERAL_ANSWERS:
        return np.asarray((np.asarray(original) == target).all(axis=-1))  # drawn, pixel by pixel
    return None


def of_size(image: Image.Image, like: Image.Image) -> Pixels:
    """A right answer as pixels (h, w, 3), at the size of the original."""
    if image.size != like.size:
        image = image.resize(like.size, Image.Resampling.LANCZOS)
    return np.asarray(image)


def _fingerprint(row: Mapping[str, Any]) -> str:
    """A short digest of all of a pair that scores depend on: another target is another case."""
    from hashlib import blake2b

    found = blake2b(digest_size=6)
    for name in ("original_image", "edited_image", "mask"):
        cell = row.get(name)
        found.update(blake2b(bytes_of(cell) if cell else b"").digest())
    for name in TRIPLET_COLUMNS:
        found.update(blake2b((words_of(row.get(name)) or "").encode()).digest())
    return found.hexdigest()
