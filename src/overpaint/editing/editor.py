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

from overpaint.diffusion.guidance import Scales, plan_branches
from overpaint.diffusion.prediction import edit_prediction
from overpaint.diffusion.sampling import BeforeStep, denoise, draw_noise, seeded_generators
from overpaint.editing.checks import check_seeds, check_texts, seeds_of, whole_number
from overpaint.editing.remarks import remarks_on
from overpaint.editing.sizes import check_resolution, working_size
from overpaint.errors import UserError
from overpaint.images import load_image
from overpaint.models import EditingModel, load_editing_model
from overpaint.models.encoding import cut_texts, decode_latents, encode_pictures, encode_texts

if TYPE_CHECKING:
    from overpaint.images import ImageSource

PIXELS_PER_BATCH = 8 * 512 * 512


@dataclass(frozen=True)
class Edit:
    """One edited picture, what made it, and what should be known of it.

    `notes` are sentences: transparency was laid on white, the instruction was cut short, the
    picture is unlike those that the model was made for, ...
    """

    image: Image.Image
    instruction: str
    seed: int
    guidance_scale: float
    image_guidance_scale: float
    turn: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    """A picture to edit, at its working size; `size` is its own, `notes` are about it."""

    image: Image.Image
    size: tuple[int, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Job:
    """One picture to make."""

    source: _Source
    instruction: str
    seed: int
    scales: Scales


class Editor:
    """Edits pictures with one model.

        editor = Editor.from_pretrained("nano")
        editor.edit("cat.png", "turn the cat into a dog", seed=0)[0].save("dog.png")

    A picture may be a path, an address, a PIL image or an array (see `load_image`); the result
    has its size. Settings left out are the model's own defaults. What should be known of a
    result stands in its `Edit.notes`. One editor may serve several threads at once: a call
    changes nothing that another one reads.
    """

    def __init__(self, model: EditingModel) -> None:
        self.model = model

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> Editor:
        """Load `nano`, a diffusers folder, a .safetensors file or a hub id.

        `device` None takes a GPU where there is one; `dtype` None takes float16 there and
        float32 on the processor.

        Raises:
            UserError: no such model, a broken one, a pickle, one that cannot edit, ...
        """
        return cls(load_editing_model(name_or_path, device=device, dtype=dtype))

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
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        resolution: int | None = None,
        batch_size: int | None = None,
        before_step: BeforeStep | None = None,
    ) -> list[Edit]:
        """Apply each instruction to the same picture, each with `num` seeds, in one batch.

        Args:
            image: path, address, PIL image or array.
            instructions: what to do; each yields its own pictures.
            seed, num: the seeds `seed` to `seed + num - 1` for each instruction.
            num_inference_steps: steps of the scheduler.
            guidance_scale: s_T of the paper, how closely the instruction is followed.
            image_guidance_scale: s_I, how closely the picture is kept.
            resolution: longer side in pixels at which to work; the model's native size if None.
            batch_size: pictures at once; by default as many as 8 of 512 x 512 pixels make.
            before_step: called before each step with (step, steps, latents); may raise to stop.

        Returns:
            One `Edit` per instruction and seed, the seeds of an instruction side by side.

        Raises:
            UserError: a picture, an instruction or a setting that cannot work.
        """
        scales = self._scales(guidance_scale, image_guidance_scale)
        seeds = check_seeds(seed, num)
        texts = check_texts(instructions)
        source = self._open(image, resolution)
        jobs = [_Job(source, text, s, scales) for text in texts for s in seeds]
        return self._run(jobs, num_inference_steps, batch_size, before_step)

    def edit_in_turn(
        self,
        image: ImageSource,
        instructions: Sequence[str],
        *,
        seed: int = 0,
        num: int = 1,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        resolution: int | None = None,
        batch_size: int | None = None,
        before_step: BeforeStep | None = None,
    ) -> list[Edit]:
        """Apply the instructions one after the other, each to the result of the one before.

        Every seed makes a sequence of its own and keeps its seed through all turns; between
        turns the picture stays at its working size. Arguments as for `edit_each`.

        Returns:
            All results, turn by turn (`Edit.turn` counts from 0), seeds side by side; the last
            `num` are the final pictures.
        """
        scales = self._scales(guidance_scale, image_guidance_scale)
        seeds = check_seeds(seed, num)
        texts = check_texts(instructions)
        source = self._open(image, resolution)
        working = source.image.size
        sources, edits = [replace(source, size=working)] * len(seeds), []
        for turn, text in enumerate(texts):
            jobs = [_Job(s, text, n, scales) for s, n in zip(sources, seeds, strict=True)]
            done = self._run(jobs, num_inference_steps, batch_size, before_step)
            sources = [_Source(edit.image, working, source.notes) for edit in done]
            edits += [replace(e, image=_resize(e.image, source.size), turn=turn) for e in done]
        return edits

    def edit_pairs(
        self,
        images: Sequence[ImageSource],
        instructions: Sequence[str],
        *,
        seed: int | Sequence[int] = 0,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        resolution: int | None = None,
        batch_size: int | None = None,
        before_step: BeforeStep | None = None,
    ) -> list[Edit]:
        """Apply to each picture its own instruction; pictures of one size go in one batch.

        Arguments as for `edit_each`; `seed` is every picture's, or a list of one a picture.

        Returns:
            One `Edit` per picture, in their order, each of its picture's size.

        Raises:
            UserError: as `edit_each`, or the numbers of pictures and instructions differ.
        """
        if len(images) != len(instructions):
            raise UserError(
                f"{len(images)} pictures do not match {len(instructions)} instructions."
            )
        scales = self._scales(guidance_scale, image_guidance_scale)
        seeds = seeds_of(seed, len(images))
        texts = check_texts(instructions)
        sources = [self._open(image, resolution) for image in images]
        edits: dict[int, Edit] = {}
        for size in dict.fromkeys(source.image.size for source in sources):
            rows = [i for i, source in enumerate(sources) if source.image.size == size]
            jobs = [_Job(sources[i], texts[i], seeds[i], scales) for i in rows]
            done = self._run(jobs, num_inference_steps, batch_size, before_step)
            edits.update(zip(rows, done, strict=True))
        return [edits[i] for i in range(len(sources))]

    def sweep(
        self,
        image: ImageSource,
        instruction: str,
        *,
        guidance_scales: Sequence[float],
        image_guidance_scales: Sequence[float],
        seed: int = 0,
        num_inference_steps: int | None = None,
        resolution: int | None = None,
        batch_size: int | None = None,
        before_step: BeforeStep | None = None,
    ) -> list[Edit]:
        """Make one edit, with one seed, at every pair of the two scales.

        Other arguments as for `edit_each`.

        Returns:
            One `Edit` per pair; along a row s_T grows, from row to row s_I.
        """
        pairs = [self._scales(t, i) for i in image_guidance_scales for t in guidance_scales]
        if not pairs:
            raise UserError("a sweep needs at least one value for each of the two scales.")
        (text,) = check_texts([instruction])
        (seed,) = check_seeds(seed, 1)
        source = self._open(image, resolution)
        jobs = [_Job(source, text, seed, scales) for scales in pairs]
        return self._run(jobs, num_inference_steps, batch_size, before_step)

    def _open(self, image: ImageSource, resolution: int | None) -> _Source:
        least = self.model.coarsest_factor
        if resolution is not None:
            resolution = whole_number(resolution, "resolution")
            check_resolution(resolution, least=least)
        notes: list[str] = []
        picture = load_image(image, note=notes.append)
        size = working_size(
            picture.size,
            longer_side=resolution or self.model.native_size,
            multiple=self.model.vae_factor,
            least=least,
        )
        working = _resize(picture, size)
        notes += remarks_on(self.model, picture.size, working)
        return _Source(working, picture.size, tuple(notes))

    def _scales(self, guidance_scale: float | None, image_guidance_scale: float | None) -> Scales:
        """The two scales with the model's defaults filled in."""
        defaults = self.model.defaults
        text = defaults.guidance_scale if guidance_scale is None else guidance_scale
        image = (
            defaults.image_guidance_scale if image_guidance_scale is None else image_guidance_scale
        )
        if not (math.isfinite(text) and math.isfinite(image) and text >= 0 and image >= 0):
            raise UserError(
                f"guidance scales must be numbers from 0, these are {text} and {image}."
            )
        return Scales(float(text), float(image))

    def _run(
        self,
        jobs: Sequence[_Job],
        steps: int | None,
        batch_size: int | None,
        before_step: BeforeStep | None,
    ) -> list[Edit]:
        """Make the pictures in as few batches as memory allows, each of its source's size."""
        steps = self._steps(steps)
        if batch_size is not None and whole_number(batch_size, "batch size") < 1:
            raise UserError(f"batch size {batch_size} does not work: it must be at least 1.")
        width, height = jobs[0].source.image.size
        batch_size = batch_size or max(1, PIXELS_PER_BATCH // (width * height))
        instructions = [job.instruction for job in jobs]
        texts, cut = (
            encode_texts(self.model, ["", *instructions]),
            cut_texts(self.model, instructions),
        )
        images: list[Image.Image] = []
        for batch in _batches(jobs, batch_size):
            images += self._make(batch, texts, steps, before_step)
        return [
            Edit(
                _resize(image, job.source.size),
                job.instruction,
                job.seed,
                *job.scales,
                notes=(*job.source.notes, *filter(None, [cut.get(job.instruction)])),
            )
            for image, job in zip(images, jobs, strict=True)
        ]

    def _make(
        self,
        jobs: Sequence[_Job],
        texts: dict[str, Tensor],
        steps: int,
        before_step: BeforeStep | None,
    ) -> list[Image.Image]:
        """One batch: encode, noise, denoise, decode."""
        model = self.model
        sources = {id(job.source.image): job.source.image for job in jobs}
        latents = encode_pictures(model, list(sources.values()))
        rows = [list(sources).index(id(job.source.image)) for job in jobs]
        image_latents = latents[rows]

        generators = seeded_generators([job.seed for job in jobs])
        noise = draw_noise(image_latents.shape[1:], generators, model.device, model.dtype)
        scheduler = type(model.scheduler).from_config(model.scheduler.config)
        scheduler.set_timesteps(steps)
        predict = edit_prediction(
            model.unet,
            plan_branches([job.scales for job in jobs], model.device),
            image_latents,
            torch.stack([texts[job.instruction] for job in jobs]),
            texts[""][None],
        )
        edited = denoise(predict, scheduler, noise, generators, before_step)
        return [Image.fromarray(pixels) for pixels in decode_latents(model, edited)]

    def _steps(self, steps: int | None) -> int:
        """The number of steps, the model's own if None."""
        if steps is None:
            return self.model.defaults.num_inference_steps
        most = int(self.model.scheduler.config.num_train_timesteps)
        if not 1 <= (steps := whole_number(steps, "number of steps")) <= most:
            raise UserError(f"{steps} steps do not work: take from 1 to {most}.")
        return steps


def _batches(jobs: Sequence[_Job], size: int) -> Iterator[Sequence[_Job]]:
    """Batches of nearly equal length, none longer than `size`."""
    count = math.ceil(len(jobs) / size)
    bounds = [round(i * len(jobs) / count) for i in range(count + 1)]
    return (jobs[a:b] for a, b in pairwise(bounds))


def _resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
