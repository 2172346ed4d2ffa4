"""Galleries: what numbers do not show, and how a picture drifts under edit after edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel

from overpaint.editing import Editor
from overpaint.evaluation.kept import kept_result
from overpaint.evaluation.runs import SamplingSettings
from overpaint.html.rendering import data_address
from overpaint.metrics.definitions import PSNR_CEILING
from overpaint.metrics.intervals import estimate
from overpaint.metrics.pixelwise import Pixels
from overpaint.metrics.retrieval import psnr
from overpaint.progress import track
from overpaint.report.sections import Drift
from overpaint.sampler import PAPER
from overpaint.scenes.catalogue import Thing, World, things
from overpaint.scenes.dataset import drawn_by
from overpaint.scenes.edits import sample_edit
from overpaint.scenes.examples import Split, instruction
from overpaint.scenes.layout import sample_scene
from overpaint.scenes.rendering import render
from overpaint.seeds import derive_seed

TURNS = 8
LOCAL_KINDS = ("replace", "add at", "remove", "recolour", "enlarge", "shrink")
CONTEXTS = ("make it night", "make it black and white", "turn it into a line drawing",
            "make the background yellow", "make the background blue",
            "add a tree in the top left")  # fmt: skip
GRID_TEXT = (0.5, 1.0, 1.5, 2.0)  # times the model's own s_T
GRID_IMAGE = (0.0, 1.0, 2.0, 4.0)  # times the model's own s_I - 1, above 1


class Shot(BaseModel):
    """A picture as a data: address, and the words below it."""

    picture: str
    caption: str


class Gallery(BaseModel):
    """Pictures in rows of equal length; rows and columns may have names."""

    title: str
    text: str
    columns: int
    shots: list[Shot]
    rows: list[str] = []
    heads: list[str] = []


@dataclass(frozen=True)
class Sequel:
    """A scene, instructions to be followed in turn, and the pixels that should stay each turn."""

    original: Pixels
    instructions: tuple[str, ...]
    untouched: tuple[np.ndarray, ...]


def contextual_edits(
    editor: Editor,
    picture: Image.Image,
    settings: SamplingSettings,
    instructions: Sequence[str] = CONTEXTS,
) -> Gallery:
    """Different edits of one picture, from one noise."""
    edits = editor.edit_each(picture, instructions, seed=settings.seed, **settings.for_editor())
    return Gallery(
        title="One picture, different edits",
        text="Every edit starts from the same picture and the same noise.",
        columns=len(edits) + 1 if len(edits) < 4 else 4,
        shots=[
            shot(picture, "the picture"),
            *(shot(edit.image, edit.instruction) for edit in edits),
        ],
    )


def latent_noise(
    editor: Editor, picture: Image.Image, text: str, settings: SamplingSettings, count: int = 7
) -> Gallery:
    """One edit from different noise: what the model varies and what it never does."""
    edits = editor.edit_each(
        picture, [text], seed=settings.seed, num=count, **settings.for_editor()
    )
    return Gallery(
        title="One edit, different noise",
        text=f"“{text}” with the seeds {settings.seed} to {settings.seed + count - 1}.",
        columns=4,
        shots=[
            shot(picture, "the picture"),
            *(shot(edit.image, f"seed {edit.seed}") for edit in edits),
        ],
    )


def scale_grid(
    editor: Editor, picture: Image.Image, text: str, settings: SamplingSettings
) -> Gallery:
    """One edit over both guidance scales (2211.09800, Figure 4)."""
    best = editor.card.defaults.over(PAPER)
    own_text, own_image = best.guidance_scale or 1.0, best.image_guidance_scale or 1.0
    gain = own_image - 1 or 0.5
    text_scales = [round(own_text * factor, 3) for factor in GRID_TEXT]
    image_scales = [round(1 + gain * factor, 3) for factor in GRID_IMAGE]
    edits = editor.sweep(
        picture,
        text,
        guidance_scales=text_scales,
        image_guidance_scales=image_scales,
        **settings.model_dump(exclude={"guidance_scale", "image_guidance_scale"}),
    )
    return Gallery(
        title="One edit, both guidance scales",
        text=f"“{text}”: to the right the instruction weighs more, downwards the picture.",
        columns=len(text_scales),
        heads=[f"s_T {scale:g}" for scale in text_scales],
        rows=[f"s_I {scale:g}" for scale in image_scales],
        shots=[shot(edit.image, "") for edit in edits],
    )


def sequential_edits(
    editor: Editor,
    settings: SamplingSettings,
    folder: Path,
    origin: Mapping[str, Any],
    *,
    scenes: int = 24,
    seed: int = 0,
    split: Split = "heldout",
    world: World = "small",
) -> tuple[Drift, Gallery]:
    """Edits in turn, each of the last one's result, and what happens to pixels they never name.

    Scenes are drawn at the model's native size. After turn k, PSNR is taken between the first
    picture and the result over the pixels that no right answer so far has changed. `origin` is what
    the results are made from, but for the scenes; see `kept.kept_result`.
    """
    size = editor.card.native_size
    sequels = [sample_sequel(derive_seed(seed, "sequel", i), split, world, size)
               for i in range(scenes)]  # fmt: skip
    kept: list[list[float | None]] = [[] for _ in range(TURNS)]
    shown: list[Shot] = []
    drawn = {"seed": seed, "split": split, "world": world, "size": size, "drawn by": drawn_by()}
    for index, sequel in enumerate(track(sequels, "edits in turn")):

        def compute(sequel: Sequel = sequel) -> dict[str, object]:
            return _edit_sequel(editor, sequel, settings)

        result = kept_result(folder, {**origin, "sequel": {**drawn, "index": index}}, compute)
        for turn, value in enumerate(result["untouched_psnr"]):
            kept[turn].append(value)
        if index < 2:
            shown += [Shot.model_validate(one) for one in result["shots"]]
    drift = Drift(scenes=scenes, untouched_psnr=[estimate(values) for values in kept])
    return drift, Gallery(
        title="Edits in turn",
        text="Each edit is made of the result of the one before it; below each picture the PSNR "
        "of the pixels that no edit so far should have changed.",
        columns=TURNS + 1,
        shots=shown,
    )


def sample_sequel(seed: int, split: Split, world: World, size: int) -> Sequel:
    """A scene and eight edits of single objects; edits of the whole picture leave nothing."""
    rng = Random(derive_seed(seed, "sequel", split, world))
    pool: tuple[Thing, ...] = things(world, "novel" if split == "novel" else "seen")
    scene = sample_scene(rng, pool, count=2)
    original = render(scene, size)
    same = np.ones((size, size), dtype=bool)
    texts: list[str] = []
    untouched: list[np.ndarray] = []
    while len(texts) < TURNS:
        kinds = [k for k in LOCAL_KINDS if (k != "remove" or len(scene.items) > 1)
                 and (k != "add at" or len(scene.items) < 3)]  # fmt: skip
        edit = sample_edit(scene, rng, pool, tuple(kinds))
        if edit is None or edit.answers[0] == scene:
            continue
        scene = edit.answers[0]
        same = same & (render(scene, size) == original).all(axis=-1)
        texts.append(instruction(edit, rng, held_out=split == "heldout"))
        untouched.append(same)
    return Sequel(original, tuple(texts), tuple(untouched))


def _edit_sequel(editor: Editor, sequel: Sequel, settings: SamplingSettings) -> dict[str, object]:
    picture = Image.fromarray(sequel.original)
    edits = editor.edit_in_turn(
        picture, sequel.instructions, seed=settings.seed, **settings.for_editor()
    )
    values: list[float | None] = []
    shots = [shot(picture, "the picture")]
    for edit, mask in zip(edits, sequel.untouched, strict=True):
        value = psnr(np.asarray(edit.image), sequel.original, mask)
        value = None if value is None else min(value, PSNR_CEILING)
        values.append(value)
        kept = "nothing untouched" if value is None else f"{value:.1f} dB"
        shots.append(shot(edit.image, f"{edit.instruction} ({kept})"))
    return {"untouched_psnr": values, "shots": [one.model_dump() for one in shots]}


def shot(image: Image.Image, caption: str) -> Shot:
    """A picture for the page."""
    return Shot(picture=data_address(image), caption=caption)
