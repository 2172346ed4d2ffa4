"""Loading and saving of models: nano, diffusers folders, single files, hub ids.

    parts = load_model("nano")              # the parts of any Stable Diffusion pipeline
    save_pipeline(folder, unet=..., vae=..., ...)

Editors are opened by `overpaint.families`. Nothing heavy is imported before one of these functions
is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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
    "Components": "components",
    "TextToImageModel": "text_to_image",
    "fetch_model": "pipelines",
    "find_model": "names",
    "load_model": "pipelines",
    "load_text_to_image": "text_to_image",
    "pick_device": "devices",
    "pick_dtype": "devices",
    "quiet_libraries": "quiet",
    "save_pipeline": "saving",
}

__all__ = [*_HOME_OF]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for (PEP 562)."""
        if name not in _HOME_OF:
            raise AttributeError(f"module 'overpaint.models' has no attribute {name!r}")
        value: object = getattr(import_module(f"overpaint.models.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
