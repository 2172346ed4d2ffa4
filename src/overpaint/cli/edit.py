"""`overpaint edit`: pictures and instructions in, edited pictures out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overpaint.cli._edit_outputs import Origin, Outputs, model_without_place, plan_outputs
from overpaint.cli._edit_work import How, Source
from overpaint.cli._options import AsJson, Device
from overpaint.cli._output import print_json, say
from overpaint.cli._settings import given, given_flags, options_of
from overpaint.cli._threads import quieten_threads

if TYPE_CHECKING:
    from overpaint.editing import Edit, Editor

_SCALES = ("guidance_scale", "image_guidance_scale")
OPTIONS = options_of(
    "overpaint.sampler:SamplerSettings",
    listed=_SCALES,  # a sweep takes several
)

_OUTPUT_HELP = (
    "Where to write the picture: a file, or a folder. Several results become one contact sheet "
    "there, and lie beside it as OUT-0.png, OUT-1.png, ...: by instruction, then by seed. "
    "A file that overpaint did not write is never replaced. "
    "[default: IMAGE-edited.png in this folder]"
)


def edit(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE",
            help="A picture (path or http(s) address) and what to change, several instructions "
            "being applied in turn. With -i, pictures only.",
        ),
    ],
    instruction: Annotated[
        list[str] | None,
        typer.Option(
            "-i", "--instruction", help="What to change in every picture. May come again."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(help="The model: nano, a diffusers folder, a .safetensors file or a hub id."),
    ] = "nano",
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="OUT", help=_OUTPUT_HELP)
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Apply each instruction to the original.")
    ] = False,
    num: Annotated[
        int, typer.Option(min=1, help="Pictures per instruction, with seeds from --seed on.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Make a contact sheet over both scales, whose values may be named as in "
            "--guidance-scale 3,5,7.5.",
        ),
    ] = False,
    singles: Annotated[
        bool,
        typer.Option(
            "--singles",
            help="Write each picture of a sweep to a file too, row by row (OUT-00.png and so on).",
        ),
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pictures at once, where memory is short.")
    ] = None,
    device: Device = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Number format: float32, float16 or bfloat16. [default: float16 on a GPU, "
            "bfloat16 on a processor that computes it, else float32]"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Edit pictures by instruction.

    IMAGE INSTRUCTION... applies the instructions in turn; IMAGE... -i INSTRUCTION edits several
    pictures. Each result has its picture's size.
    """
    names, instructions = _told_apart(words, instruction or [])
    chosen = given(context)
    text, image = (_scales(chosen.pop(name, []), name, many=sweep) for name in _SCALES)
    others = {"seed": seed, "batch_size": batch_size, **chosen}
    how = How(instructions, each, num, sweep, singles, text, image, others)
    how.check()

    # What can be found wrong at once is, before seconds go into loading a model.
    from overpaint.models import find_model

    planned = plan_outputs(names, output, how.results, singles=singles or not sweep)
    for outputs in planned:
        outputs.check(names)
    sources = [Source.read(name, keep=len(names) == 1) for name in names]
    find_model(model)

    began = time.perf_counter()
    quieten_threads()
    from overpaint.editing import Editor

    editor = Editor.from_pretrained(model, device, dtype)
    loaded = time.perf_counter()
    if dtype is None and editor.card.dtype == "bfloat16":
        say("note: this processor computes bfloat16, so it is used; --dtype float32 is exact.")
    used = _used(editor, model, chosen)
    flags = {flag: v for flag, v in given_flags(context).items() if "guidance-scale" not in flag}
    named = model_without_place(model)
    typed = {"--model": named, "--resolution": None, **flags, "--steps": used["steps"]}
    rest = {name: chosen[name] for name in chosen if name != "num_inference_steps"}
    settings = {**used, "model": named, "resolution": None, **rest}
    own = None if used["dtype"] == "float32" else used["dtype"]  # of this machine, not of every one
    origin = Origin("", instructions, {**typed, "--dtype": dtype or own}, settings)
    done = _edit_all(editor, how, list(zip(sources, planned, strict=True)), origin, as_json)
    if as_json:
        seconds = {"load": loaded - began, "edit": time.perf_counter() - loaded}
        print_json(
            {
                **(done[0] if len(done) == 1 else {"pictures": done}),
                **used,
                "seconds": {name: round(value, 3) for name, value in seconds.items()},
            }
        )


def _used(editor: Editor, model: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """What edits, and where, as reports and the pictures' own notes say it."""
    card = editor.card
    steps = chosen.get("num_inference_steps") or card.defaults.num_inference_steps
    return {"model": model, "steps": steps, "device": card.device, "dtype": card.dtype}


def _edit_all(
    editor: Editor,
    how: How,
    work: Sequence[tuple[Source, Outputs]],
    origin: Origin,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Edit and write picture after picture; a report of each."""
    names = [source.name for source, _ in work]
    done: list[dict[str, Any]] = []
    try:
        for source, outputs in work:
            edits = how.edit(editor, source, label=source.name if len(names) > 1 else "")
            outputs.check(names)  # again, for that took a while
            made_from = replace(origin, picture=source.name)
            done.append(_written(how, source, edits, outputs, made_from, names))
            if not as_json:
                typer.echo(outputs.path)
    except KeyboardInterrupt as stop:
        stop.add_note(f"{len(done)} of {len(names)} pictures were edited and written.")
        raise
    return done


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


def _written(
    how: How,
    source: Source,
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


def _scales(values: list[float], name: str, *, many: bool) -> list[float]:
    """The values of a scale, each once, of which there may be several with --sweep."""
    if len(values) > 1 and not many:
        hint = f"--{name.replace('_', '-')}"
        raise typer.BadParameter("several values need --sweep.", param_hint=hint)
    return list(dict.fromkeys(values))
