"""`Editor`: a picture and an instruction in, an edited picture out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from overpaint.diffusion.guidance import Scales, plan_branches
from overpaint.diffusion.prediction import edit_prediction
from overpaint.diffusion.sampling import BeforeStep, denoise, draw_noise, seeded_generators
from overpaint.editing.sizes import check_resolution, working_size
from overpaint.errors import UserError
from overpaint.images import load_image
from overpaint.models import EditingModel, load_editing_model
from overpaint.models.encoding import decode_latents, encode_pictures, encode_texts, shorten

if TYPE_CHECKING:
    from overpaint.images import ImageSource

PIXELS_PER_BATCH = 8 * 512 * 512
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Edit:
    """One edited picture and what made it."""

    image: Image.Image
    instruction: str
    seed: int
    guidance_scale: float
    image_guidance_scale: float
    turn: int = 0


@dataclass(frozen=True)
class _Job:
    """One picture to make. `source` is at its working size."""

    source: Image.Image
    instruction: str
    seed: int
    scales: Scales


class Editor:
    """Edits pictures with one model.

        editor = Editor.from_pretrained("nano")
        editor.edit("cat.png", "turn the cat into a dog", seed=0)[0].save("dog.png")

    A picture may be a path, an address, a PIL image or an array (see `load_image`); the result
    has its size. Settings left out are the model's own defaults. Remarks (transparency laid on
    white, an instruction cut short) go to `note`, by default to `warnings`. One editor may
    serve several threads.
    """

    def __init__(self, model: EditingModel, *, note: Callable[[str], None] | None = None) -> None:
        self.model = model
        self.note = note or _warn

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        *,
        note: Callable[[str], None] | None = None,
    ) -> Editor:
        """Load `nano`, a diffusers folder, a .safetensors file or a hub id.

        `device` None takes a GPU where there is one; `dtype` None takes float16 there and
        float32 on the processor.

        Raises:
            UserError: no such model, a broken one, a pickle, one that cannot edit, ...
        """
        return cls(load_editing_model(name_or_path, device=device, dtype=dtype), note=note)

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

        `settings` are those of `edit_each`.

        Returns:
            `num` RGB pictures (a list even for one), each of the input's size.

        Raises:
            UserError: a picture or a setting that cannot work.
        """
        edits = self.edit_each(image, [instruction], seed=seed, num=num, **settings)
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
        seeds = _check_seeds(seed, num)
        picture, source = self._open(image, resolution)
        jobs = [_Job(source, text, s, scales) for text in _check_texts(instructions) for s in seeds]
        return self._run(jobs, picture.size, num_inference_steps, batch_size, before_step)

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
        seeds = _check_seeds(seed, num)
        texts = _check_texts(instructions)
        picture, source = self._open(image, resolution)
        sources, edits = [source] * num, []
        for turn, text in enumerate(texts):
            jobs = [_Job(s, text, n, scales) for s, n in zip(sources, seeds, strict=True)]
            done = self._run(jobs, None, num_inference_steps, batch_size, before_step)
            sources = [edit.image for edit in done]
            edits += [replace(e, image=_resize(e.image, picture.size), turn=turn) for e in done]
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
        given = list(seed) if isinstance(seed, Iterable) else [seed] * len(images)
        if len(given) != len(images):
            raise UserError(f"{len(images)} pictures do not match {len(given)} seeds.")
        seeds = [one for number in given for one in _check_seeds(number, 1)]
        texts = _check_texts(instructions)
        opened = [self._open(image, resolution) for image in images]
        edits: dict[int, Edit] = {}
        for size in dict.fromkeys(source.size for _, source in opened):
            rows = [i for i, (_, source) in enumerate(opened) if source.size == size]
            jobs = [_Job(opened[i][1], texts[i], seeds[i], scales) for i in rows]
            done = self._run(jobs, None, num_inference_steps, batch_size, before_step)
            for i, edit in zip(rows, done, strict=True):
                edits[i] = replace(edit, image=_resize(edit.image, opened[i][0].size))
        return [edits[i] for i in range(len(opened))]

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
        (text,) = _check_texts([instruction])
        (seed,) = _check_seeds(seed, 1)
        picture, source = self._open(image, resolution)
        jobs = [_Job(source, text, seed, scales) for scales in pairs]
        return self._run(jobs, picture.size, num_inference_steps, batch_size, before_step)

    def _open(self, image: ImageSource, resolution: int | None) -> tuple[Image.Image, Image.Image]:
        """The picture, and the same at its working size."""
        least = self.model.coarsest_factor
        if resolution is not None:
            resolution = _whole(resolution)
            check_resolution(resolution, least=least)
        picture = load_image(image, note=self.note)
        size = working_size(
            picture.size,
            longer_side=resolution or self.model.native_size,
            multiple=self.model.vae_factor,
            least=least,
        )
        return picture, _resize(picture, size)

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
        size: tuple[int, int] | None,
        steps: int | None,
        batch_size: int | None,
        before_step: BeforeStep | None,
    ) -> list[Edit]:
        """Make the pictures in as few batches as memory allows; `size` is that of the results."""
        steps = self.model.defaults.num_inference_steps if steps is None else _whole(steps)
        self._check_steps(steps)
        if batch_size is not None and batch_size < 1:
            raise UserError(f"batch size {batch_size} does not work: it must be at least 1.")
        width, height = jobs[0].source.size
        batch_size = batch_size or max(1, PIXELS_PER_BATCH // (width * height))
        texts = encode_texts(self.model, ["", *(job.instruction for job in jobs)], self.note)
        images: list[Image.Image] = []
        for batch in _batches(jobs, batch_size):
            images += self._make(batch, texts, steps, before_step)
        if size is not None:
            images = [_resize(image, size) for image in images]
        return [
            Edit(image, job.instruction, job.seed, job.scales.text, job.scales.image)
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
        sources = {id(job.source): job.source for job in jobs}
        latents = encode_pictures(model, list(sources.values()))
        rows = [list(sources).index(id(job.source)) for job in jobs]
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

    def _check_steps(self, steps: int) -> None:
        most = int(self.model.scheduler.config.num_train_timesteps)
        if not 1 <= steps <= most:
            raise UserError(f"{steps} steps do not work: take from 1 to {most}.")


def _batches(jobs: Sequence[_Job], size: int) -> Iterator[Sequence[_Job]]:
    """Batches of nearly equal length, none longer than `size`."""
    count = math.ceil(len(jobs) / size)
    bounds = [round(i * len(jobs) / count) for i in range(count + 1)]
    return (jobs[a:b] for a, b in pairwise(bounds))


def _resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _check_texts(instructions: Sequence[str]) -> list[str]:
    if not instructions:
        raise UserError("there is no instruction: say what to change, such as 'make it night'.")
    for text in instructions:
        if not isinstance(text, str) or not text.strip():
            raise UserError("an instruction is empty: say what to change, such as 'make it night'.")
    return list(instructions)


def _check_seeds(seed: int, num: int) -> list[int]:
    seed, num = _whole(seed), _whole(num)
    if num < 1:
        raise UserError(f"num {num} does not work: it must be at least 1.")
    if not 0 <= seed <= MAX_SEED - num:
        raise UserError(f"seed {shorten(str(seed))} does not work: take a number from 0 to 2^63.")
    return list(range(seed, seed + num))


def _whole(number: int) -> int:
    """A whole number as Python's own: NumPy's have few bits, and JSON does not know them."""
    try:
        return index(number)
    except TypeError as error:
        raise UserError(f"{number!r} does not work: give a whole number.") from error


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=2)
