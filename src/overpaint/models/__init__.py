"""Loading and saving of models: nano, diffusers folders, single files, hub ids.

    parts = load_model("nano")              # the parts of any Stable Diffusion pipeline
    save_pipeline(folder, unet=..., vae=..., ...)

Editors are opened by `overpaint.families`. Nothing heavy is imported before one of these functions
is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from overpaint.lazy import imported_on_demand

if TYPE_CHECKING:
    from overpaint.models.components import Components as Components
    from overpaint.models.devices import pick_device as pick_device
    from overpaint.models.devices import pick_dtype as pick_dtype
    from overpaint.models.names import find_model as find_model
    from overpaint.models.pipelines import fetch_model as fetch_model
    from overpaint.models.pipelines import load_model as load_model
    from overpaint.models.quiet import quiet_libraries as quiet_libraries
    from overpaint.models.saving import save_pipeline as save_pipeline
    from overpaint.models.text_to_image import TextToImageModel as TextToImageModel
    from overpaint.models.text_to_image import load_text_to_image as load_text_to_image

_HOME_OF = {
    "Components": "overpaint.models.components",
    "TextToImageModel": "overpaint.models.text_to_image",
    "fetch_model": "overpaint.models.pipelines",
    "find_model": "overpaint.models.names",
    "load_model": "overpaint.models.pipelines",
    "load_text_to_image": "overpaint.models.text_to_image",
    "pick_device": "overpaint.models.devices",
    "pick_dtype": "overpaint.models.devices",
    "quiet_libraries": "overpaint.models.quiet",
    "save_pipeline": "overpaint.models.saving",
}

__all__ = [*_HOME_OF]


if not TYPE_CHECKING:
    __getattr__ = imported_on_demand(__name__, _HOME_OF)
