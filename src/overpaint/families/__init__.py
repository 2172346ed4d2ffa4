"""Families of editors, one file each, and the one place that knows which there are.

A family is a module with

    load(name, *, device, dtype) -> EditModel | Driver     opens an editor of it
    load_base(name, device, *, resolution, seed, unet)     what training starts from (optional)

See `families.contract`. To add one, write the module and add its line to `FAMILIES`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.errors import UserError
from overpaint.models.folders import read_table
from overpaint.models.names import PARENT
from overpaint.models.pipelines import fetch_model

if TYPE_CHECKING:
    from types import ModuleType

    import torch

INDEX = "model_index.json"
DEFAULT = "overpaint.families.ip2p"

FAMILIES: dict[str, str] = {  # `_class_name` of model_index.json -> the module of its family
    "StableDiffusionInstructPix2PixPipeline": DEFAULT,
}


def family_of(name: str | Path) -> ModuleType:
    """The module of the family that a model belongs to, by its model_index.json.

    What has none (single files) and what no family claims goes to InstructPix2Pix, whose loader
    says what is wrong with it.

    Raises:
        UserError: there is no such model.
    """
    return _module(fetch_model(name))


def family_of_base(name: str | Path) -> ModuleType:
    """The same of what training starts from, which may also be PARENT or a folder of parts.

    Raises:
        UserError: there is no such model, or its family cannot be trained.
    """
    if str(name) == PARENT or (Path(name).is_dir() and not (Path(name) / INDEX).is_file()):
        return import_module(DEFAULT)
    family = family_of(name)
    if not hasattr(family, "load_base"):
        raise UserError(
            f"{name} is of a family of editors that cannot be trained: give another base."
        )
    return family


def _module(place: Path) -> ModuleType:
    table = read_table(place / INDEX, f"{INDEX} of {place}") if place.is_dir() else {}
    return import_module(FAMILIES.get(str(table.get("_class_name")), DEFAULT))


def load_editor(
    name: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Any:
    """Load a model that edits, of whatever family: an `EditModel` or a `Driver`.

    Args:
        name: `nano`, a diffusers folder, a .safetensors file in the original layout, a hub id.
        device: see `models.pick_device`; dtype: see `models.pick_dtype`.

    Raises:
        UserError: nothing is there, it is broken, or it is a model that cannot edit.
    """
    return family_of(name).load(name, device=device, dtype=dtype)
