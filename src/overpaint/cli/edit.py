"""`overpaint edit`: one picture, one or more instructions."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overpaint.cli._output import print_json, say
from overpaint.cli._threads import quieten_threads

if TYPE_CHECKING:
    from PIL import Image

    from overpaint.editing import Edit, Editor

SHEET_HELP = (
    "Where to write the picture. Several results become one contact sheet there, and lie beside "
    "it as OUT-0.png, OUT-1.png, ...: by instruction, then by seed; a sweep's row by row. "
    "[default: IMAGE-edited.png in this folder]"
)


def edit(
    image: Annotated[str, typer.Argument(help="A picture: path or http(s) address.")],
    instruction: Annotated[
        list[str], typer.Argument(help="What to change; several are applied in turn.")
    ],
    model: Annotated[
        str,
        typer.Option(help="nano, a diffusers folder, a .safetensors file or a hub id."),
    ] = "nano",
    output: Annotated[Path | None, typer.Option("-o", "--output", help=SHEET_HELP)] = None,
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
    """Edit a picture by instruction; the result has the picture's size."""
    text_scales = _numbers(guidance_scale, "--guidance-scale", many=sweep)
    image_scales = _numbers(image_guidance_scale, "--image-guidance-scale", many=sweep)
    _check_modes(len(instruction), each=each, sweep=sweep, num=num)

    from overpaint.images import check_can_save, load_image
    from overpaint.models import find_model

    # What can be found wrong at once is, before seconds go into loading a model.
    notes: list[str] = []
    picture = load_image(image, note=lambda sentence: _note(sentence, notes))
    output = output or Path(f"{_stem(image)}-edited.png")
    check_can_save(output)
    find_model(model)

    began = time.perf_counter()
    quieten_threads()
    from overpaint.editing import Editor

    editor = Editor.from_pretrained(
        model, device, dtype, note=lambda sentence: _note(sentence, notes)
    )
    loaded = time.perf_counter()
    settings: dict[str, Any] = {"seed": seed, "num_inference_steps": steps}
    settings |= {"resolution": resolution, "batch_size": batch_size}
    if sweep:
        edits = _sweep(editor, picture, instruction[0], text_scales, image_scales, settings)
    else:
        settings |= {"num": num, "guidance_scale": next(iter(text_scales), None)}
        settings |= {"image_guidance_scale": next(iter(image_scales), None)}
        apply = editor.edit_each if each else editor.edit_in_turn
        with _StepProgress() as progress:
            edits = apply(picture, instruction, before_step=progress, **settings)
    edited = time.perf_counter()

    in_turn = not (each or sweep)
    last = edits[-num:] if in_turn else edits
    results = [_describe(e, instruction if in_turn else [e.instruction]) for e in last]
    used = {"model": model, "steps": steps or editor.model.defaults.num_inference_steps}
    paths = _write(output, last, [result | used for result in results])
    if len(paths) > 1:
        _write_sheet(output, picture, edits, sweep=sweep)
    if as_json:
        print_json(
            {
                "output": str(output),
                "contact_sheet": len(paths) > 1,
                "size": list(picture.size),
                **used,
                "device": str(editor.model.device),
                "dtype": str(editor.model.dtype).removeprefix("torch."),
                "seconds": {"load": round(loaded - began, 3), "edit": round(edited - loaded, 3)},
                "notes": notes,
                "results": [
                    {"path": str(path), **result}
                    for path, result in zip(paths, results, strict=True)
                ],
            }
        )
    else:
        typer.echo(output)


def _check_modes(instructions: int, *, each: bool, sweep: bool, num: int) -> None:
    if sweep and each:
        raise typer.BadParameter("--sweep and --each cannot go together.")
    if sweep and (instructions > 1 or num > 1):
        raise typer.BadParameter("--sweep takes one instruction and one seed.")


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


def _sweep(
    editor: Editor,
    picture: Image.Image,
    instruction: str,
    text_scales: list[float],
    image_scales: list[float],
    settings: dict[str, Any],
) -> list[Edit]:
    text_scales, image_scales = _axes(editor, text_scales, image_scales)
    with _StepProgress() as progress:
        return editor.sweep(
            picture,
            instruction,
            guidance_scales=text_scales,
            image_guidance_scales=image_scales,
            before_step=progress,
            **settings,
        )


def _axes(editor: Editor, text: list[float], image: list[float]) -> tuple[list[float], list[float]]:
    """The two axes of a sweep; those not given go round the model's own scales."""
    best = editor.model.defaults
    gain = best.image_guidance_scale - 1 or 0.5
    return (
        text or [round(best.guidance_scale * f, 4) for f in (0.5, 0.75, 1.0, 1.5, 2.0)],
        image or [round(1 + gain * f, 4) for f in (0.0, 0.5, 1.0, 1.5, 2.0)],
    )


def _describe(edit: Edit, instructions: list[str]) -> dict[str, Any]:
    return {
        "instructions": instructions,
        "seed": edit.seed,
        "guidance_scale": edit.guidance_scale,
        "image_guidance_scale": edit.image_guidance_scale,
    }


def _write(output: Path, edits: list[Edit], results: list[dict[str, Any]]) -> list[Path]:
    """Write the pictures, what made them in their metadata; returns their paths."""
    from overpaint.images import save_image

    paths = [output]
    if len(edits) > 1:
        paths = [output.with_stem(f"{output.stem}-{i}") for i in range(len(edits))]
    for path, edit, result in zip(paths, edits, results, strict=True):
        save_image(edit.image, path, metadata={"overpaint": json.dumps(result)})
    return paths


def _write_sheet(output: Path, original: Image.Image, edits: list[Edit], *, sweep: bool) -> None:
    from overpaint.editing.contact_sheet import edits_sheet, sweep_sheet
    from overpaint.images import save_image

    save_image(sweep_sheet(edits) if sweep else edits_sheet(edits, original=original), output)


def _stem(image: str) -> str:
    """The name of the default output: after the input's, without its suffix."""
    name = image.partition("?")[0].rstrip("/").rpartition("/")[2]
    return Path(name).stem or "picture"


def _note(sentence: str, notes: list[str]) -> None:
    notes.append(sentence)
    say(f"note: {sentence}")


class _StepProgress:
    """Shows each batch's steps; given to the editor as its `before_step`."""

    def __init__(self) -> None:
        self._shown: Any = None

    def __enter__(self) -> _StepProgress:
        return self

    def __call__(self, step: int, steps: int, _latents: object) -> None:
        from overpaint.progress import Progress

        if step > 0:
            self._shown.advance()
            return
        self._finish()
        self._shown = Progress("editing", total=steps)
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
