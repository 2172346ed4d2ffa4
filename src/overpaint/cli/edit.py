"""`overpaint edit`: pictures and instructions in, edited pictures out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overpaint.cli._edit_outputs import Origin, Outputs, plan_outputs
from overpaint.cli._output import print_json, say
from overpaint.cli._threads import quieten_threads

if TYPE_CHECKING:
    from PIL import Image

    from overpaint.editing import Edit, Editor

OUTPUT_HELP = (
    "Where to write the picture: a file, or a folder. Several results become one contact sheet "
    "there, and lie beside it as OUT-0.png, OUT-1.png, ...: by instruction, then by seed. "
    "A file that overpaint did not write is never replaced. "
    "[default: IMAGE-edited.png in this folder]"
)
_TEXT_STEPS = (0.5, 0.75, 1.0, 1.5, 2.0)
_IMAGE_STEPS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""The axes of a sweep, as factors on s_T and on s_I - 1 of the model's own."""


def edit(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE",
            help="A picture (path or http(s) address) and what to change, several instructions "
            "being applied in turn; with -i, pictures only.",
        ),
    ],
    instruction: Annotated[
        list[str] | None,
        typer.Option(
            "-i", "--instruction", help="What to change in every picture; may come again."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(help="nano, a diffusers folder, a .safetensors file or a hub id."),
    ] = "nano",
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="OUT", help=OUTPUT_HELP)
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Apply each instruction to the original.")
    ] = False,
    num: Annotated[int, typer.Option(min=1, help="Pictures per instruction, seeds from SEED.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="A contact sheet over both scales; name the values as in --guidance-scale 3,5,7.5.",
        ),
    ] = False,
    singles: Annotated[
        bool,
        typer.Option(
            "--singles",
            help="Write each picture of a sweep to a file too, row by row: OUT-00.png, ...",
        ),
    ] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Sampling steps. [default: the model's own]")
    ] = None,
    guidance_scale: Annotated[
        str | None,
        typer.Option(metavar="S_T", help="How closely the instruction is followed."),
    ] = None,
    image_guidance_scale: Annotated[
        str | None, typer.Option(metavar="S_I", help="How closely the picture is kept.")
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(help="Longer side in pixels at which to work. [default: the model's own]"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pictures at once, where memory is short.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps. [default: the best one here]")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, float16, bfloat16. [default: float16 on a GPU, else float32]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Edit pictures by instruction: IMAGE INSTRUCTION..., or IMAGE... -i INSTRUCTION.

    Each result has its picture's size.
    """
    names, instructions = _told_apart(words, instruction or [])
    how = _How(
        instructions,
        each=each,
        num=num,
        sweep=sweep,
        singles=singles,
        text_scales=_numbers(guidance_scale, "--guidance-scale", many=sweep),
        image_scales=_numbers(image_guidance_scale, "--image-guidance-scale", many=sweep),
        settings={"seed": seed, "num_inference_steps": steps, "resolution": resolution}
        | {"batch_size": batch_size},
    )
    how.check()

    # What can be found wrong at once is, before seconds go into loading a model.
    from overpaint.models import find_model

    planned = plan_outputs(names, output, how.results, singles=singles or not sweep)
    for outputs in planned:
        outputs.check(names)
    sources = [_Source.read(name, keep=len(names) == 1) for name in names]
    find_model(model)

    began = time.perf_counter()
    quieten_threads()
    from overpaint.editing import Editor

    editor = Editor.from_pretrained(model, device, dtype)
    loaded = time.perf_counter()
    steps = steps or editor.model.defaults.num_inference_steps
    used = {"model": model, "steps": steps}
    on = {
        "device": str(editor.model.device),
        "dtype": str(editor.model.dtype).removeprefix("torch."),
    }
    typed = {"--model": model, "--steps": steps, "--resolution": resolution, "--dtype": dtype}
    settings = {**used, "resolution": resolution, **on}
    done: list[dict[str, Any]] = []
    try:
        for source, outputs in zip(sources, planned, strict=True):
            edits = how.edit(editor, source, label=source.name if len(names) > 1 else "")
            outputs.check(names)  # again, for that took a while
            origin = Origin(source.name, instructions, typed, settings)
            done.append(_written(how, source, edits, outputs, origin, names))
            if not as_json:
                typer.echo(outputs.path)
    except KeyboardInterrupt as stop:
        stop.add_note(f"{len(done)} of {len(names)} pictures were edited and written.")
        raise
    if as_json:
        print_json(
            {
                **(done[0] if len(done) == 1 else {"pictures": done}),
                **used,
                **on,
                "seconds": {
                    "load": round(loaded - began, 3),
                    "edit": round(time.perf_counter() - loaded, 3),
                },
            }
        )


def _told_apart(words: Sequence[str], instructions: Sequence[str]) -> tuple[list[str], list[str]]:
    """The pictures and the instructions of a command line.

    Without -i the first word is the picture and all others are instructions. A shell that made
    several names of one pattern is told from that by the files being there.
    """
    pictures, said = (words, instructions) if instructions else (words[:1], words[1:])
    if not said:
        raise typer.BadParameter(
            "say what to change: IMAGE INSTRUCTION, or IMAGE... -i INSTRUCTION."
        )
    for text in said:
        if _names_a_picture(text):
            raise typer.BadParameter(
                f"{text!r} is a file or an address, not an instruction: to edit several pictures, "
                "give each instruction with -i."
            )
    return list(pictures), [_as_utf8(text) for text in said]


def _names_a_picture(text: str) -> bool:
    """Whether it is a file or an address, or could only be the name of a picture that is not there."""
    from PIL import Image

    from overpaint.images import is_url

    try:
        if is_url(text) or os.path.isfile(text):
            return True
    except ValueError:  # a NUL in it
        return False
    suffix = os.path.splitext(text)[1].lower()
    return bool(suffix) and len(text.split()) == 1 and suffix in Image.registered_extensions()


def _as_utf8(text: str) -> str:
    """An instruction whose bytes are UTF-8, though the locale has another encoding (C, say)."""
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        return text


@dataclass
class _Source:
    """A picture named on the command line, and the notes on reading it."""

    name: str
    picture: Image.Image | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, name: str, *, keep: bool) -> _Source:
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
class _How:
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

    def edit(self, editor: Editor, source: _Source, label: str) -> list[Edit]:
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


def _written(
    how: _How,
    source: _Source,
    edits: list[Edit],
    outputs: Outputs,
    origin: Origin,
    names: Sequence[str],
) -> dict[str, Any]:
    """Write what came of one of the pictures `names` and say its notes; gives its part of the report."""
    notes = list(dict.fromkeys([*source.notes, *(note for e in edits for note in e.notes)]))
    for note in notes:
        say(f"note: {source.name}: {note}" if len(names) > 1 else f"note: {note}")
    last = edits[-how.results :]
    made_by = [how.describe(edit) for edit in last]
    paths = outputs.write([e.image for e in last], [origin.of(made) for made in made_by])
    if outputs.has_sheet:
        from overpaint.editing.contact_sheet import edits_sheet, sweep_sheet

        draw = sweep_sheet if how.sweep else edits_sheet
        sheet = draw(edits, original=source.open(), options=origin.given())
        outputs.write_sheet(sheet, origin.of_all(made_by, how.options(last)))
    outputs.sweep(names)
    return {
        "image": source.name,
        "output": str(outputs.path),
        "contact_sheet": outputs.has_sheet,
        "size": list(last[0].image.size),
        "notes": notes,
        "results": [{"path": p and str(p), **made} for p, made in zip_longest(paths, made_by)],
    }


def _numbers(text: str | None, option: str, *, many: bool) -> list[float]:
    """The value of a scale option; with --sweep it may be a list with commas."""
    if text is None:
        return []
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number.", param_hint=option) from None
    if len(values) > 1 and not many:
        raise typer.BadParameter("several values need --sweep.", param_hint=option)
    return values


def _axes(editor: Editor, text: list[float], image: list[float]) -> tuple[list[float], list[float]]:
    """The two axes of a sweep; those not given go round the model's own scales."""
    best = editor.model.defaults
    gain = best.image_guidance_scale - 1 or 0.5
    return (
        text or [round(best.guidance_scale * f, 4) for f in _TEXT_STEPS],
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
