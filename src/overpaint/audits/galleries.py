"""Galleries: what numbers do not show, and how a picture drifts under edit after edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from overpaint.audits.settings import GallerySettings
from overpaint.editing import Editor
from overpaint.editing.contact_sheet import IMAGE_SCALE, TEXT_SCALE
from overpaint.evaluation.audit import AuditContext
from overpaint.evaluation.cache import cached_result
from overpaint.evaluation.settings import SamplingSettings
from overpaint.html.rendering import data_address
from overpaint.images import load_image
from overpaint.metrics.definitions import METRIC
from overpaint.metrics.intervals import estimate
from overpaint.metrics.pixelwise import Pixels, capped_psnr
from overpaint.progress import track
from overpaint.report.sections import Drift, Findings, Gallery, Shot
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


@dataclass(frozen=True)
class Galleries:
    """Galleries of one picture, and of scenes that are edited in turn."""

    settings: GallerySettings
    picture: Image.Image | None = None
    """None: that of the first case"""
    name: ClassVar[str] = "galleries"

    @classmethod
    def asked_for(cls, settings: GallerySettings) -> Galleries | None:
        """None where the settings do not ask for them.

        Raises:
            UserError: the picture cannot be read.
        """
        picture = None if settings.picture is None else load_image(settings.picture)
        return cls(settings, picture) if settings.galleries else None

    def origin(self) -> dict[str, Any]:
        """See `Audit`."""
        return {
            "drift_scenes": self.settings.drift_scenes,
            "picture": None if self.picture is None else _digest(self.picture),
            "instructions": self.settings.instructions,
        }

    def examine(self, context: AuditContext) -> Findings:
        """See `Audit`."""
        still = self._of_one_picture(context)
        drift, in_turn = sequential_edits(context, self.settings.drift_scenes)
        return Findings(drift=drift, galleries=[*still, in_turn])

    def _of_one_picture(self, context: AuditContext) -> list[Gallery]:
        editor, sampling = context.editor, context.sampling
        asked = self.settings.instructions
        picture, text = self.picture, (asked or ("",))[0]
        if picture is None:
            (first,) = context.cases.first(1)
            picture, text = first.original, text or first.instruction
        text = text or CONTEXTS[0]
        contexts = asked if len(asked) > 1 else CONTEXTS
        shown = {"texts": [text, *contexts], "picture": _digest(picture)}
        galleries: dict[str, Callable[[], Gallery]] = {
            "contexts": lambda: contextual_edits(editor, picture, sampling, contexts),
            "noise": lambda: latent_noise(editor, picture, text, sampling),
            "scales": lambda: scale_grid(editor, picture, text, sampling),
        }
        return [
            Gallery.model_validate(
                cached_result(
                    context.folder / "galleries",
                    {**context.origin, "gallery": name, **shown},
                    lambda f=make: f().model_dump(),  # type: ignore[misc]
                )
            )
            for name, make in galleries.items()
        ]


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
    own_text, gain = best.guidance_scale or 1.0, (best.image_guidance_scale or 1.0) - 1 or 0.5
    text_scales = [round(own_text * factor, 3) for factor in GRID_TEXT]
    image_scales = [round(1 + gain * factor, 3) for factor in GRID_IMAGE]
    others = settings.for_editor()
    del others["guidance_scale"], others["image_guidance_scale"]
    edits = editor.sweep(
        picture,
        text,
        guidance_scales=text_scales,
        image_guidance_scales=image_scales,
        seed=settings.seed,
        **others,
    )
    return Gallery(
        title="One edit, both guidance scales",
        text=f"“{text}”: to the right the instruction weighs more, downwards the picture.",
        columns=len(text_scales),
        heads=[f"{TEXT_SCALE} {scale:g}" for scale in text_scales],
        rows=[f"{IMAGE_SCALE} {scale:g}" for scale in image_scales],
        shots=[shot(edit.image, "") for edit in edits],
    )


def sequential_edits(context: AuditContext, scenes: int) -> tuple[Drift, Gallery]:
    """Edits in turn, each of the last one's result, and what happens to pixels they never name.

    Scenes are drawn at the model's native size. After turn k, PSNR is taken between the first
    picture and the result over the pixels that no right answer so far has changed. The gallery
    shows the first two scenes.
    """
    editor, sampling, cases = context.editor, context.sampling, context.cases.settings
    split, world = cases.get("split", "heldout"), cases.get("world", "small")
    seed, size = sampling.seed, editor.card.native_size
    drawn = {"seed": seed, "split": split, "world": world, "size": size, "drawn by": drawn_by()}
    values: list[list[float | None]] = [[] for _ in range(TURNS)]
    shown: list[Shot] = []
    for index in track(range(scenes), "edits in turn"):
        sequel = sample_sequel(derive_seed(seed, "sequel", index), split, world, size)
        result = cached_result(
            context.folder / "galleries",
            {**context.origin, "sequel": {**drawn, "index": index}},
            lambda s=sequel: _edit_sequel(editor, s, sampling),  # type: ignore[misc]
        )
        for turn, value in enumerate(result["untouched_psnr"]):
            values[turn].append(value)
        if index < 2:
            shown += [Shot.model_validate(one) for one in result["shots"]]
    bounds = METRIC["untouched_psnr"].bounds
    drift = Drift(
        scenes=scenes, untouched_psnr=[estimate(column, bounds=bounds) for column in values]
    )
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
        value = capped_psnr(np.asarray(edit.image), sequel.original, mask)
        values.append(value)
        words = "nothing untouched" if value is None else f"{value:.1f} dB"
        shots.append(shot(edit.image, f"{edit.instruction} ({words})"))
    return {"untouched_psnr": values, "shots": [one.model_dump() for one in shots]}


def shot(image: Image.Image, caption: str) -> Shot:
    """A picture for the page."""
    return Shot(picture=data_address(image), caption=caption)


def _digest(picture: Image.Image) -> str:
    """SHA-256 of a picture's mode, size and pixels."""
    words = f"{picture.mode} {picture.size} ".encode()
    return sha256(words + picture.tobytes()).hexdigest()
