"""`Editor`: a picture and an instruction in, an edited picture out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from overpaint.diffusion.sampling import BeforeStep
from overpaint.editing.checks import (
    check_seeds,
    check_texts,
    complete_settings,
    sampler_settings,
    seeds_of,
    whole_number,
)
from overpaint.errors import UserError
from overpaint.families import load_editor
from overpaint.families.contract import (
    Card,
    Driver,
    Edit,
    EditModel,
    EditRequest,
    Geometry,
    Remarks,
)
from overpaint.families.loop import as_driver
from overpaint.images import is_plain_rgb, load_image
from overpaint.models.devices import pick_device, pick_editing_dtype

if TYPE_CHECKING:
    from overpaint.images import ImageSource

MAX_SHRINKING = 8
"""Above this ratio of a picture's longer side to the working size, what is lost is worth a note."""


@dataclass(frozen=True)
class _Placed:
    """A request whose picture is open and at its working size, with complete settings.

    `notes` are about the picture.
    """

    request: EditRequest
    geometry: Geometry
    notes: tuple[str, ...]


class Editor:
    """Edits pictures with one model.

        editor = Editor.from_pretrained("nano")
        editor.edit("cat.png", "turn the cat into a dog", seed=0)[0].save("dog.png")

    A picture may be a path, an address, a PIL image or an array (see `load_image`); the result
    has its size. Settings left out are the model's own. What should be known of a result stands in
    its `Edit.notes`. One editor may serve several threads at once: a call changes nothing that
    another one reads.

    Keyword arguments `sampler` are those of `SamplerSettings`: num_inference_steps,
    guidance_scale, image_guidance_scale, resolution. `batch_size` is how many pictures are edited
    at once, by default as many as `Card.pixels_at_once` allows. `before_step` is called before each
    step of a batch with (step, steps, latents); an error raised in it stops the run.
    """

    def __init__(self, editor: EditModel | Driver) -> None:
        """`editor` is what `families.load_editor` gives."""
        self.driver: Driver = as_driver(editor)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> Editor:
        """Load `nano`, a diffusers folder, a .safetensors file or a hub id.

        `device` None takes a GPU where there is one; `dtype` None takes float16 there, and on the
        processor bfloat16 where it computes that, else float32.

        Raises:
            UserError: no such model, a broken one, a pickle, one that cannot edit, ...
        """
        place = pick_device(device)
        own = pick_editing_dtype(dtype, place)
        return cls(load_editor(name_or_path, device=place, dtype=own))

    @property
    def card(self) -> Card:
        """What the model is and can do."""
        return self.driver.card

    @property
    def model(self) -> Any:
        """The model on our own sampling loop; an editor of another kind has none, but itself."""
        return getattr(self.driver, "model", self.driver)

    def run(
        self,
        requests: Sequence[EditRequest],
        *,
        batch_size: int | None = None,
        before_step: BeforeStep | None = None,
    ) -> list[Edit]:
        """Make edits of any mix of pictures, instructions, seeds and settings.

        Requests whose pictures are edited at one size share batches. `before_step` may return
        positions in `requests` that are to be given up: these come back as `Edit.cancelled`.

        Returns:
            One `Edit` per request, in their order, each of its picture's size.

        Raises:
            UserError: a picture, an instruction or a setting that cannot work.
        """
        check_texts([request.instruction for request in requests])
        settings = [complete_settings(request.settings, self.card) for request in requests]
        seeds = [check_seeds(request.seed, 1)[0] for request in requests]
        opened: dict[tuple[int, int | None], _Placed] = {}
        placed = []
        for request, own, seed in zip(requests, settings, seeds, strict=True):
            key = id(request.image), own.resolution
            if key not in opened:
                opened[key] = self._place(request.image, own.resolution)
            asked = replace(opened[key].request, instruction=request.instruction, seed=seed)
            placed.append(replace(opened[key], request=replace(asked, settings=own)))
        return self._run(placed, batch_size, before_step, {})

    def edit(
        self,
        image: ImageSource,
        instruction: str,
        *,
        seed: int = 0,
        num: int = 1,
        **settings: Any,
    ) -> list[Image.Image]:
        """Edit a picture `num` times, with the seeds `seed`, `seed + 1`, ..., in one batch.

        `settings` are those of `edit_each`. As bare pictures carry no notes, these are warned of.

        Returns:
            `num` RGB pictures (a list even for one), each of the input's size.

        Raises:
            UserError: a picture or a setting that cannot work.
        """
        edits = self.edit_each(image, [instruction], seed=seed, num=num, **settings)
        for note in dict.fromkeys(note for edit in edits for note in edit.notes):
            warnings.warn(note, stacklevel=2)
        return [edit.image for edit in edits]

    def edit_each(
        self,
        image: ImageSource,
        instructions: Sequence[str],
        *,
        seed: int = 0,
        num: int = 1,
        batch_size: int | None = None,
        before_step: BeforeStep | None = None,
        **sampler: Any,
    ) -> list[Edit]:
        """Apply each instruction to the same picture, each with `num` seeds, in one batch.

        Returns:
            One `Edit` per instruction and seed, the seeds of an instruction side by side.

        Raises:
            UserError: a picture, an instruction or a setting that cannot work.
        """
        settings, seeds = sampler_settings(sampler), check_seeds(seed, num)
        requests = [
            EditRequest(image, text, one, settings)
            for text in check_texts(instructions)
            for one in seeds
        ]
        return self.run(requests, batch_size=batch_size, before_step=before_step)

    def edit_in_turn(
        self,
        image: ImageSource,
        instructions: Sequence[str],
        *,
        seed: int = 0,
        num: int = 1,
        batch_size: int | None = None,
        before_step: BeforeStep | None = None,
        **sampler: Any,
    ) -> list[Edit]:
        """Apply the instructions one after the other, each to the result of the one before.

        Every seed makes a sequence of its own and keeps its seed through all turns; between
        turns the picture stays at its working size. What `before_step` gives up counts by the
        position of its seed.

        Returns:
            All results, turn by turn (`Edit.turn` counts from 0), seeds side by side; the last
            `num` are the final pictures.
        """
        settings = complete_settings(sampler_settings(sampler), self.card)
        seeds = check_seeds(seed, num)
        texts = check_texts(instructions)
        first = self._place(image, settings.resolution)
        stays = Geometry(first.geometry.working, first.geometry.working)
        turn_of = replace(first.request, settings=settings)
        pictures, edits = [first.request.image] * len(seeds), []
        remarks: Remarks = {}
        known: tuple[str, ...] = ()
        for turn, text in enumerate(texts):
            requests = [
                replace(turn_of, image=picture, instruction=text, seed=one)
                for picture, one in zip(pictures, seeds, strict=True)
            ]
            placed = [_Placed(request, stays, first.notes) for request in requests]
            done = self._run(placed, batch_size, before_step, remarks)
            pictures = [edit.image for edit in done]
            known = known if turn else remarks[id(first.request.image)]
            remarks = {id(picture): known for picture in pictures}  # the original's, at every turn
            edits += [replace(e, image=first.geometry.back(e.image), turn=turn) for e in done]
        return edits

    def edit_pairs(
        self,
        images: Sequence[ImageSource],
        instructions: Sequence[str],
        *,
        seed: int | Sequence[int] = 0,
        batch_size: int | None = None,
        before_step: BeforeStep | None = None,
        **sampler: Any,
    ) -> list[Edit]:
        """Apply to each picture its own instruction; pictures of one size go in one batch.

        `seed` is every picture's, or a list of one a picture.

        Returns:
            One `Edit` per picture, in their order, each of its picture's size.

        Raises:
            UserError: as `edit_each`, or the numbers of pictures and instructions differ.
        """
        if len(images) != len(instructions):
            raise UserError(
                f"{len(images)} pictures do not match {len(instructions)} instructions."
            )
        settings, seeds = sampler_settings(sampler), seeds_of(seed, len(images))
        rows = zip(images, check_texts(instructions), seeds, strict=True)
        requests = [EditRequest(image, text, one, settings) for image, text, one in rows]
        return self.run(requests, batch_size=batch_size, before_step=before_step)

    def sweep(
        self,
        image: ImageSource,
        instruction: str,
        *,
        guidance_scales: Sequence[float],
        image_guidance_scales: Sequence[float],
        seed: int = 0,
        batch_size: int | None = None,
        before_step: BeforeStep | None = None,
        **sampler: Any,
    ) -> list[Edit]:
        """Make one edit, with one seed, at every pair of the two scales.

        Returns:
            One `Edit` per pair; along a row s_T grows, from row to row s_I.
        """
        requests = [
            EditRequest(
                image,
                instruction,
                seed,
                sampler_settings({**sampler, "guidance_scale": t, "image_guidance_scale": i}),
            )
            for i in image_guidance_scales
            for t in guidance_scales
        ]
        if not requests:
            raise UserError("a sweep needs at least one value for each of the two scales.")
        return self.run(requests, batch_size=batch_size, before_step=before_step)

    def _place(self, image: ImageSource, resolution: int | None) -> _Placed:
        """A picture at its working size, with a request that lacks all but it."""
        notes: list[str] = []
        picture = image if is_plain_rgb(image) else load_image(image, note=notes.append)
        geometry = self.driver.place(picture.size, resolution)
        working = geometry.into(picture)
        if max(picture.size) > MAX_SHRINKING * max(working.size):
            notes.append(
                f"the picture of {picture.width} x {picture.height} pixels is edited at "
                f"{working.width} x {working.height} and enlarged again, so its detail is lost: "
                "take a model for larger pictures, or only a part of the picture."
            )
        return _Placed(EditRequest(working, ""), geometry, tuple(notes))

    def _run(
        self,
        placed: Sequence[_Placed],
        batch_size: int | None,
        before_step: BeforeStep | None,
        remarks: Remarks,
    ) -> list[Edit]:
        """Make the pictures in as few batches as memory allows, each of its source's size.

        `remarks`: see `Driver.edit`.
        """
        if batch_size is not None and whole_number(batch_size, "batch size") < 1:
            raise UserError(f"batch size {batch_size} does not work: it must be at least 1.")
        edits: dict[int, Edit] = {}
        for size in dict.fromkeys(one.geometry.working for one in placed):
            rows = [i for i, one in enumerate(placed) if one.geometry.working == size]
            at_once = batch_size or max(1, self.card.pixels_at_once // (size[0] * size[1]))
            for batch in _batches(rows, at_once):
                hook = None if before_step is None else _Part(before_step, batch)
                done = self.driver.edit([placed[i].request for i in batch], hook, remarks)
                edits.update(zip(batch, done, strict=True))
        return [
            replace(
                edits[i],
                image=one.geometry.back(edits[i].image),
                notes=(*one.notes, *edits[i].notes),
            )
            for i, one in enumerate(placed)
        ]


@dataclass(frozen=True)
class _Part:
    """A `before_step` of a whole run, for the batch of these of its rows."""

    before_step: BeforeStep
    rows: Sequence[int]

    def __call__(self, step: int, steps: int, latents: Tensor) -> list[int]:
        given = self.before_step(step, steps, latents)
        gone = set() if given is None else set(given)  # an array has no truth value
        return [at for at, row in enumerate(self.rows) if row in gone]


def _batches(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Batches of nearly equal length, none longer than `size`."""
    count = math.ceil(len(rows) / size)
    bounds = [round(i * len(rows) / count) for i in range(count + 1)]
    return (rows[a:b] for a, b in pairwise(bounds))
