"""Reading a diffusers pipeline folder, part by part, safetensors only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.errors import UserError
from overpaint.models.components import Components, read_defaults
from overpaint.models.folders import in_words, read_table
from overpaint.models.loading import from_folder, load_network

if TYPE_CHECKING:
    import torch

CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
_LIBRARIES = ("diffusers", "transformers")


def load_directory(
    folder: Path, dtype: torch.dtype, unet: str = "unet", scheduler: str = "scheduler"
) -> Components:
    """Load the five parts that `model_index.json` names, on the CPU.

    `unet` and `scheduler` are the folders to take these from: nano keeps a U-Net that draws from
    words, with its noise schedule, beside that which edits.

    Raises:
        UserError: a part is missing, broken, stored as a pickle, or of a class that an
            InstructPix2Pix pipeline does not have.
    """
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    index = _read_index(folder)
    for part, accepted in CLASSES.items():
        _check_class(folder, index, part, accepted)
    kind = scheduler_class(_class_of(index, "scheduler"), f"the scheduler of {folder}")
    return Components(  # the small parts first: what is broken is said before gigabytes are read
        defaults=read_defaults(folder),
        scheduler=from_folder(kind, *part_of(folder, scheduler)),
        **frozen_parts(folder, dtype),
        unet=load_network(UNet2DConditionModel, *part_of(folder, unet), dtype=dtype),
    )


def frozen_parts(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """The autoencoder, the text encoder and the tokenizer of a folder, by their names.

    Raises:
        UserError: one is missing, broken or a pickle.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from transformers.models.clip.modeling_clip import CLIPTextModel
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    return {
        "tokenizer": from_folder(CLIPTokenizer, *part_of(folder, "tokenizer")),
        "text_encoder": load_network(CLIPTextModel, *part_of(folder, "text_encoder"), dtype=dtype),
        "vae": load_network(AutoencoderKL, *part_of(folder, "vae"), dtype=dtype),
    }


def load_scheduler(folder: Path) -> Any:
    """The scheduler of a folder, of the class that its own configuration names.

    Raises:
        UserError: it is missing or broken.
    """
    place, what = part_of(folder, "scheduler")
    table = read_table(place / "scheduler_config.json", what)
    return from_folder(scheduler_class(table.get("_class_name"), what), place, what)


def part_of(folder: Path, part: str) -> tuple[Path, str]:
    """The folder of a part, and what messages call it.

    Raises:
        UserError: it is not there.
    """
    if not (folder / part).is_dir():
        raise UserError(f"{folder} has no {part} folder: the model is not complete.")
    return folder / part, f"the {part} of {folder}"


def scheduler_class(name: object, what: str) -> Any:
    """The scheduler of a name, which may be any of diffusers'.

    Raises:
        UserError: there is none of this name.
    """
    import diffusers

    if not (isinstance(name, str) and name.endswith("Scheduler") and hasattr(diffusers, name)):
        raise UserError(
            f"{what} cannot be loaded: diffusers {diffusers.__version__} has no scheduler "
            f"{in_words(str(name))!r}."
        )
    return getattr(diffusers, name)


def _read_index(folder: Path) -> dict[str, Any]:
    index = read_table(folder / "model_index.json", f"model_index.json of {folder}")
    if not isinstance(index.get("_class_name", ""), str):
        raise UserError(
            f"{folder} is refused: its model_index.json names a pipeline with code of its own, "
            "which is never run here."
        )
    return index


def _class_of(index: dict[str, Any], part: str) -> object:
    """The class that the index names for a part; None where it is none of the libraries'."""
    entry = index.get(part)
    if isinstance(entry, list) and len(entry) == 2 and entry[0] in _LIBRARIES:
        return entry[1]
    return None


def _check_class(folder: Path, index: dict[str, Any], part: str, accepted: tuple[str, ...]) -> None:
    entry = index.get(part)
    if isinstance(entry, list) and len(entry) == 2 and entry[0] not in (None, *_LIBRARIES):
        raise UserError(
            f"{folder} is refused: its {part} comes with code of its own "
            f"({in_words(str(entry[0]))}), which is never run here."
        )
    name = _class_of(index, part)
    if name not in accepted:
        raise UserError(
            f"{folder} is no InstructPix2Pix-shaped pipeline: its {part} is "
            f"{in_words(str(name or 'missing'))} where {accepted[0]} is needed."
        )
