"""From the settings of this stage to its captions and its writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from overpaint.data.formats import read_rows
from overpaint.errors import UserError
from overpaint.files import beside, write_atomic
from overpaint.instruct.settings import InstructSettings
from overpaint.instruct.writer import Writer
from overpaint.scenes.catalogue import World
from overpaint.seeds import derive_seed

_TRIES = 100  # at a caption that is not there yet, on average


def check(settings: InstructSettings) -> None:
    """Make sure, in seconds, that this stage can start; what the hub has is looked up there.

    Raises:
        UserError: there are no captions, no triplets to fine-tune on, or no such model; or a
            package is not installed.
    """
    source = _source(settings)
    if source is not None:
        next(read_rows(source), None)
    if settings.data is not None:
        next(read_rows(settings.data), None)
        from overpaint.instruct import finetuning  # noqa: F401  (says which packages it lacks)
    if settings.endpoint is None:
        from overpaint.instruct.models import check_language_model

        check_language_model(_model_name(settings))
        if settings.generate.structure:
            from overpaint.instruct.sampling import need_llguidance

            need_llguidance()
    else:
        find_writer(settings)


def find_captions(settings: InstructSettings, out: Path) -> str | Path:
    """What `generate` reads: the settings' source, or captions of scenes, written beside `out`.

    Raises:
        UserError: the settings name neither, or there are not so many different captions.
    """
    source = _source(settings)
    if source is not None:
        return source
    path = beside(out, "captions.txt")
    captions = scene_captions(settings.scenes or 0, settings.seed, settings.world)
    write_atomic(path, "".join(f"{caption}\n" for caption in captions).encode())
    return path


def _source(settings: InstructSettings) -> str | None:
    """Where captions are read from; None where they are those of scenes."""
    if settings.captions is None and settings.scenes is None:
        raise UserError(
            "there are no captions: give --captions, or instruct.captions or instruct.scenes in "
            "the recipe."
        )
    return settings.captions


def scene_captions(count: int, seed: int, world: World) -> list[str]:
    """`count` different captions of scenes; more of them begin with the same ones.

    Raises:
        UserError: that world has not so many.
    """
    from overpaint.scenes.examples import sample_caption

    found: dict[str, None] = {}
    for number in range(_TRIES * count):
        found[sample_caption(derive_seed(seed, "caption to edit", number), world)[1]] = None
        if len(found) == count:
            return list(found)
    raise UserError(f"scenes of the {world} world have not {count} different captions: take fewer.")


def find_writer(
    settings: InstructSettings,
    model: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> tuple[Callable[[], Writer], dict[str, Any]]:
    """What opens the writer of edits, and what tells it from another (JSON values).

    `model` takes the place of the settings' one, as a fine-tuned one does.

    Raises:
        UserError: the settings name no model, there is no such model, device or number format,
            or the endpoint is no address.
    """
    name = model or _model_name(settings)
    if settings.endpoint is not None:
        from overpaint.instruct.endpoint import EndpointWriter

        writer = EndpointWriter(settings.endpoint, name, settings.generate)
        return (lambda: writer), {"model": writer.identity()}

    import torch

    from overpaint.instruct.models import load_language_model, writer_origin
    from overpaint.instruct.writer import LocalWriter
    from overpaint.models import pick_device, pick_dtype

    place = pick_device(device)
    on_gpu = place.type == "cuda" and dtype is None
    number = torch.bfloat16 if on_gpu else pick_dtype(dtype, place)

    def open_writer() -> LocalWriter:
        loaded = load_language_model(name, place, number)
        return LocalWriter(loaded, settings.generate, settings.format)

    dtype_name = str(number).removeprefix("torch.")
    return open_writer, {"model": writer_origin(name), "dtype": dtype_name, "device": place.type}


def _model_name(settings: InstructSettings) -> str:
    if settings.model is None:
        what = (
            "the name that the server knows" if settings.endpoint else "nano, a folder or a hub id"
        )
        raise UserError(f"there is no language model: give --model or instruct.model, {what}.")
    return settings.model
