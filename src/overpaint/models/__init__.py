"""Loading and saving of models: nano, diffusers folders, single files, hub ids.

    model = load_editing_model("nano")      # or load_model for any Stable Diffusion pipeline
    save_pipeline(folder, unet=..., vae=..., ...)

Nothing heavy is imported before one of these functions runs.
"""

from __future__ import annotations

from overpaint.models.components import (
    Components,
    EditDefaults,
    EditingModel,
    fetch_model,
    load_editing_model,
    load_model,
)
from overpaint.models.devices import pick_device, pick_dtype
from overpaint.models.names import find_model
from overpaint.models.quiet import quiet_libraries
from overpaint.models.saving import save_pipeline
from overpaint.models.text_to_image import TextToImageModel, load_text_to_image

__all__ = [
    "Components",
    "EditDefaults",
    "EditingModel",
    "TextToImageModel",
    "fetch_model",
    "find_model",
    "load_editing_model",
    "load_model",
    "load_text_to_image",
    "pick_device",
    "pick_dtype",
    "quiet_libraries",
    "save_pipeline",
]
