"""What should be said about a picture that is far from what the model was made for."""

from __future__ import annotations

import numpy as np
from PIL import Image

from overpaint.models import EditingModel
from overpaint.models.encoding import decode_latents, encode_pictures

MAX_SHRINKING = 8
"""Above this ratio of a picture's longer side to the working size, what is lost is worth a note."""

MAX_LOSS = 20.0
"""Root of the mean squared difference, of 255, that the autoencoder alone may make.

nano's autoencoder differs by 0.2 to 19.7 (median 8 to 11) on 480 scenes, drawn at 64 and 256
pixels, as PNG and as JPEG, by 9 to 10 on the examples and by 3 to 5 on its own results; on 18
photographs of many kinds by 7.6 to 48 (median 24), 15 of them above 20.
"""

_SMALL = 256
"""Pixels: models that work above this size have autoencoders that were made for any picture."""


def remarks_on(model: EditingModel, size: tuple[int, int], working: Image.Image) -> list[str]:
    """Sentences about a picture of `size` that is edited as `working`; mostly there are none."""
    remarks = []
    if max(size) > MAX_SHRINKING * max(working.size):
        remarks.append(
            f"the picture of {size[0]} x {size[1]} pixels is edited at {working.width} x "
            f"{working.height} and enlarged again, so its detail is lost: take a model for larger "
            "pictures, or only a part of the picture."
        )
    if model.native_size < _SMALL and (loss := autoencoder_loss(model, working)) > MAX_LOSS:
        remarks.append(
            "the picture is unlike those that this model was made for (its autoencoder alone "
            f"changes it by {loss:.0f} of 255), so expect little: photographs need a model that was "
            "trained on them."
        )
    return remarks


def autoencoder_loss(model: EditingModel, image: Image.Image) -> float:
    """How much is lost on the way through the latents and back: RMS difference, of 255."""
    latents = encode_pictures(model, [image]) * model.vae.config.scaling_factor
    difference = decode_latents(model, latents)[0].astype(np.float32) - np.asarray(image)
    return float(np.sqrt(np.mean(np.square(difference))))
