"""Loading a whole Stable Diffusion pipeline: a folder, a single file, or an id on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from overpaint.models.components import Components, make_ready
from overpaint.models.devices import pick_device, pick_dtype
from overpaint.models.directory import load_directory
from overpaint.models.fitting import check_parts
from overpaint.models.names import find_model
from overpaint.models.single_file import load_single_file

if TYPE_CHECKING:
    import torch


def load_model(
    name: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Components:
    """Load any Stable Diffusion 1.x-shaped pipeline, whatever its U-Net takes.

    Args:
        name: `nano`, a diffusers folder, a .safetensors file in the original layout, a hub id.
        device: see `pick_device`; dtype: see `pick_dtype`.

    Raises:
        UserError: nothing is there, or it is broken.
    """
    path = fetch_model(name)
    device = pick_device(device)
    dtype = pick_dtype(dtype, device)
    model = load_single_file(path, dtype) if path.is_file() else load_directory(path, dtype)
    model.name = str(name)
    check_parts(model)
    make_ready(model, device)
    return model


def fetch_model(name: str | Path) -> Path:
    """Where the folder or file is that `name` means; a model of the hub is brought into its cache.

    Raises:
        UserError: there is no such model, or the hub cannot be reached.
    """
    place = find_model(name)
    if place.kind != "hub":
        return Path(place.where)
    from overpaint.models.hub import download_pipeline

    return download_pipeline(place.where)
