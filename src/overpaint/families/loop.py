"""A family on our own sampling loop as a `Driver`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from PIL import Image

from overpaint.diffusion.sampling import BeforeStep, Condition, SampleRow, sample
from overpaint.families.contract import (
    Card,
    Driver,
    Edit,
    EditModel,
    EditRequest,
    Geometry,
    Remarks,
    Size,
)
from overpaint.models.encoding import to_pictures


@dataclass
class LoopDriver:
    """Edits with `model` by `sample`."""

    model: EditModel

    @property
    def card(self) -> Card:
        """That of the model."""
        return self.model.card

    def place(self, size: Size, resolution: int | None = None) -> Geometry:
        """That of the model."""
        return self.model.place(size, resolution)

    def edit(
        self,
        requests: Sequence[EditRequest],
        before_step: BeforeStep | None = None,
        remarks: Remarks | None = None,
    ) -> list[Edit]:
        """One batch: encode, sample, decode; see `Driver.edit`."""
        model, size = self.model, _picture(requests[0]).size
        rows = [SampleRow(request.seed, request.settings) for request in requests]
        condition = model.encode(requests)
        known = {} if remarks is None else remarks
        self._add_remarks(known, requests, condition)
        found = sample(model, condition, rows, size, before_step)
        kept = [i for i in range(len(rows)) if i not in found.dropped]
        latents = found.latents if len(kept) == len(rows) else found.latents[kept]
        pixels = iter(to_pictures(model.decode(latents, size), self.card.dtype) if kept else ())
        of_texts = model.text_remarks([request.instruction for request in requests])
        return [
            Edit(
                _picture(request).copy() if i in found.dropped else Image.fromarray(next(pixels)),
                request.instruction,
                request.seed,
                request.settings.guidance_scale or 0.0,
                request.settings.image_guidance_scale or 0.0,
                notes=(
                    *known[id(request.image)],
                    *filter(None, [of_texts.get(request.instruction)]),
                ),
                cancelled=i in found.dropped,
            )
            for i, request in enumerate(requests)
        ]

    def _add_remarks(
        self, known: Remarks, requests: Sequence[EditRequest], condition: Condition
    ) -> None:
        """Look at the pictures that are not in `known`, each once."""
        new = {id(one.image): i for i, one in enumerate(requests) if id(one.image) not in known}
        rows = list(new.values())
        if not rows:
            return
        images = [_picture(requests[i]) for i in rows]
        if len(rows) < len(requests):
            condition = {name: value[rows] for name, value in condition.items()}
        known.update(zip(new, self.model.remarks(images, condition), strict=True))


def as_driver(editor: EditModel | Driver) -> Driver:
    """The model as a driver; what is one already stays as it is."""
    return cast("Driver", editor) if hasattr(editor, "edit") else LoopDriver(editor)


def _picture(request: EditRequest) -> Image.Image:
    if not isinstance(request.image, Image.Image):
        raise TypeError("a driver is given pictures at their working size")
    return request.image
