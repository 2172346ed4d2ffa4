"""From the settings of this stage to its captions and its writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from overpaint.errors import UserError
from overpaint.files import write_atomic
from overpaint.instruct.settings import InstructSettings
from overpaint.instruct.writing import Writer
from overpaint.scenes.catalogue import World
from overpaint.seeds import derive_seed

_TRIES = 100  # at a caption that is not there yet, on average


def find_captions(settings: InstructSettings, out: Path) -> str | Path:
    """What `generate` reads: the settings' source, or captions of scenes, written beside `out`.

    Raises:
        UserError: the settings name neither, or there are not so many different captions.
    """
    if settings.captions is not None:
        return settings.captions
    if settings.scenes is None:
        raise UserError(
            "there are no captions: give --captions, or instruct.captions or instruct.scenes in "
            "the recipe."
        )
    path = out.with_name(f"{out.name}.captions.txt")
    captions = scene_captions(settings.scenes, settings.seed, settings.world)
    write_atomic(path, "".join(f"{caption}\n" for caption in captions).encode())
    return path


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
) -> tuple[Callable[[], Writer], str]:
    """What opens the writer of edits, and what tells its model from another.

    `model` takes the place of the settings' one, as a fine-tuned one does.

    Raises:
        UserError: the settings name no model, there is no such model, device or number format,
            or the endpoint is no address.
    """
    name = model or settings.model
    if name is None:
        what = "the name that the server knows" if settings.endpoint else "a folder or hub id"
        raise UserError(f"there is no language model: give --model or instruct.model, {what}.")
    if settings.endpoint is not None:
        from overpaint.instruct.endpoint import EndpointWriter

        writer = EndpointWriter(settings.endpoint, name, settings.generate)
        return (lambda: writer), writer.identity()

    import torch

    from overpaint.instruct.models import fingerprint, load_language_model
    from overpaint.instruct.writing import LocalWriter
    from overpaint.models import pick_device, pick_dtype

    place = pick_device(device)
    on_gpu = place.type == "cuda" and dtype is None
    number = torch.bfloat16 if on_gpu else pick_dtype(dtype, place)

    def open_writer() -> LocalWriter:
        loaded = load_language_model(name, place, number)
        return LocalWriter(loaded, settings.generate, settings.format)

    return open_writer, f"{fingerprint(name)} {str(number).removeprefix('torch.')}"
