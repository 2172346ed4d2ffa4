"""What `overpaint edit` does to every picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from PIL import Image

    from overpaint.editing import Edit, Editor

_TEXT_STEPS = (0.5, 0.75, 1.0, 1.5, 2.0)
_IMAGE_STEPS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""The axes of a sweep, as factors on s_T and on s_I - 1 of the model's own."""


@dataclass
class Source:
    """A picture named on the command line, and the notes on reading it."""

    name: str
    picture: Image.Image | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, name: str, *, keep: bool) -> Source:
        """Read it; the pixels of many files are not kept, those of an address are."""
        from overpaint.images import is_url, load_image

        source = cls(name)
        picture = load_image(name, note=source.notes.append)
        if keep or is_url(name):
            source.picture = picture
        return source

    def open(self) -> Image.Image:
        """The picture, read again where it was not kept."""
        from overpaint.images import load_image

        return self.picture or load_image(self.name)


@dataclass
class How:
    """What is done to every picture."""

    instructions: list[str]
    each: bool
    num: int
    sweep: bool
    singles: bool
    text_scales: list[float]
    image_scales: list[float]
    settings: dict[str, Any]

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            typer.BadParameter: with the two that do.
        """
        if self.sweep and self.each:
            raise typer.BadParameter("--sweep and --each cannot go together.")
        if self.sweep and (len(self.instructions) > 1 or self.num > 1):
            raise typer.BadParameter("--sweep takes one instruction and one seed.")
        if self.singles and not self.sweep:
            raise typer.BadParameter("--singles goes with --sweep: others always write theirs.")

    @property
    def results(self) -> int:
        """How many pictures come of one."""
        if self.sweep:
            axes = (self.text_scales or _TEXT_STEPS, self.image_scales or _IMAGE_STEPS)
            return len(axes[0]) * len(axes[1])
        return self.num * len(self.instructions) if self.each else self.num

    def edit(self, editor: Editor, source: Source, label: str) -> list[Edit]:
        """All edits of a picture; after several turns the last ones are the results."""
        with _StepProgress(label) as progress:
            if self.sweep:
                text_scales, image_scales = _axes(editor, self.text_scales, self.image_scales)
                return editor.sweep(
                    source.open(),
                    self.instructions[0],
                    guidance_scales=text_scales,
                    image_guidance_scales=image_scales,
                    before_step=progress,
                    **self.settings,
                )
            apply = editor.edit_each if self.each else editor.edit_in_turn
            return apply(
                source.open(),
                self.instructions,
                num=self.num,
                guidance_scale=next(iter(self.text_scales), None),
                image_guidance_scale=next(iter(self.image_scales), None),
                before_step=progress,
                **self.settings,
            )

    def describe(self, edit: Edit) -> dict[str, Any]:
        """What made a result."""
        alone = self.each or self.sweep
        return {
            "instructions": [edit.instruction] if alone else self.instructions,
            "seed": edit.seed,
            "guidance_scale": edit.guidance_scale,
            "image_guidance_scale": edit.image_guidance_scale,
        }

    def options(self, edits: Sequence[Edit]) -> dict[str, Any]:
        """The options that made all these results in one run."""
        return {
            "--each": self.each,
            "--sweep": self.sweep,
            "--num": self.num if self.num > 1 else None,
            "--seed": min(edit.seed for edit in edits),
            "--guidance-scale": list(dict.fromkeys(e.guidance_scale for e in edits)),
            "--image-guidance-scale": list(dict.fromkeys(e.image_guidance_scale for e in edits)),
        }


def _axes(editor: Editor, text: list[float], image: list[float]) -> tuple[list[float], list[float]]:
    """The two axes of a sweep; those not given go round the model's own scales."""
    from overpaint.sampler import PAPER

    best = editor.card.defaults.over(PAPER)
    own_text, gain = best.guidance_scale or 1.0, (best.image_guidance_scale or 1.0) - 1 or 0.5
    return (
        text or [round(own_text * f, 4) for f in _TEXT_STEPS],
        image or [round(1 + gain * f, 4) for f in _IMAGE_STEPS],
    )


class _StepProgress:
    """Shows each batch's steps; given to the editor as its `before_step`."""

    def __init__(self, label: str) -> None:
        self._label = f"editing {label}" if label else "editing"
        self._shown: Any = None

    def __enter__(self) -> _StepProgress:
        return self

    def __call__(self, step: int, steps: int, _latents: object) -> None:
        from overpaint.progress import Progress

        if step > 0:
            self._shown.advance()
            return
        self._finish()
        self._shown = Progress(self._label, total=steps)
        self._shown.__enter__()

    def _finish(self) -> None:
        if self._shown is not None:
            self._shown.advance()  # the hook comes before a step, so the last one is still open
            self._shown.__exit__(None, None, None)
            self._shown = None

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            self._finish()
        elif self._shown is not None:
            self._shown.__exit__(kind, error, trace)
