"""Where cases come from: scenes with exact answers, folders of pairs, published test sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overpaint.data.cells import bytes_of, pairs_digest, picture_of, text_of, words_of
from overpaint.data.parquet import ParquetRows
from overpaint.errors import UserError
from overpaint.evaluation.cases import WITHOUT_KIND, Case, CaseSet, of_size
from overpaint.evaluation.published import read_preset, read_published
from overpaint.metrics.pixelwise import Pixels
from overpaint.rows import TRIPLET_COLUMNS
from overpaint.scenes.catalogue import World
from overpaint.scenes.dataset import drawn_by
from overpaint.scenes.edits import kinds_of
from overpaint.scenes.examples import Example, Split, candidates, sample_example
from overpaint.scenes.layout import Version
from overpaint.seeds import derive_seed
from overpaint.shards import read_pairs

CANDIDATES = 32
SEVERAL_ANSWERS = ("add",)
"""Kinds of edit of scenes with several right answers, of which pairs store one."""
_OF_SCENES = (
    "Pairs of scenes hold one right answer, and no other pictures to choose from: target retrieval@1 "
    "was left out (evaluate on --scenes for it), and where several answers are right (add), "
    "distances and similarities to the target are to that one."
)


def benchmark_example(
    index: int,
    seed: int,
    split: Split,
    world: World = "small",
    size: int = 64,
    version: Version = 1,
) -> Example:
    """Example `index` of the benchmark; the kinds take turns. None has a seed of training's."""
    kinds = kinds_of(version)
    kind = kinds[index % len(kinds)]
    own = derive_seed(seed, "accuracy", index)
    return sample_example(own, split, world, size, kinds=(kind,), version=version)


def benchmark_examples(
    count: int,
    seed: int,
    split: Split,
    world: World = "small",
    size: int = 64,
    version: Version = 1,
) -> list[Example]:
    """`count` examples, as many of each kind as of any other."""
    return [benchmark_example(i, seed, split, world, size, version) for i in range(count)]


def scene_cases(
    count: int, seed: int, split: Split = "heldout", world: World = "small", size: int = 64
) -> CaseSet:
    """Scenes with exact answers: those of `benchmark_examples`."""

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


def read_cases(folder: str | Path, limit: int | None = None, preset: str | None = None) -> CaseSet:
    """The cases in a folder: a published test set, or pairs as every stage writes them.

    `limit` takes the first so many; `preset` names a published protocol (`published.presets`).

    Raises:
        UserError: there is no such folder, it is empty, or it holds none of these.
    """
    folder = Path(folder)
    if preset is not None:
        cases = read_preset(preset, folder)
    else:
        cases = read_published(folder) or pair_cases(folder)
    if limit is None or limit >= cases.count:
        return cases
    settings = {**cases.settings, "count": limit}
    title = f"{cases.title}, the first {limit}"
    return replace(cases, title=title, settings=settings, count=limit)


def pair_cases(folder: Path) -> CaseSet:
    """A folder of pairs; captions and kinds may be absent, as in public data.

    Raises:
        UserError: there is no such folder, it is empty, or it holds no pairs.
    """
    rows = read_pairs(folder)

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
    title = f"{len(rows)} pairs of {folder.name}"
    return CaseSet(title, settings, len(rows), read, _notes_on_pairs(rows, folder.name))


def _notes_on_pairs(rows: ParquetRows, name: str) -> tuple[str, ...]:
    """What cannot be measured on these pairs, a sentence each."""
    notes = []
    absent = [c for c in ("original_prompt", "edited_prompt") if c not in rows.column_names]
    if absent:
        notes.append(
            f"{name} has no column {' or '.join(absent)}: CLIP's directional and text "
            "similarity need captions and were left out."
        )
    if "method" in rows.column_names and "scenes" in rows["method"]:
        notes.append(_OF_SCENES)
    return tuple(notes)


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


def _fingerprint(row: Mapping[str, Any]) -> str:
    """A short digest of all of a pair that scores depend on: another target is another case."""
    found = blake2b(digest_size=6)
    for name in ("original_image", "edited_image", "mask"):
        cell = row.get(name)
        found.update(blake2b(bytes_of(cell) if cell else b"").digest())
    for name in TRIPLET_COLUMNS:
        found.update(blake2b((words_of(row.get(name)) or "").encode()).digest())
    return found.hexdigest()
