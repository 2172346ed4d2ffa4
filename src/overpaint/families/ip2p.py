"""InstructPix2Pix (arXiv:2211.09800): Stable Diffusion whose U-Net also sees the picture's latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from overpaint.diffusion.guidance import Ask, edit_asks
from overpaint.diffusion.processes import PREDICTIONS
from overpaint.diffusion.sampling import Condition
from overpaint.diffusion.widening import widen_conv_in
from overpaint.errors import UserError
from overpaint.families.contract import Card, EditRequest, Geometry, Size
from overpaint.models.directory import frozen_parts, load_scheduler
from overpaint.models.encoding import (
    cut_texts,
    decode_latents,
    encode_mode,
    encode_moments,
    encode_pictures,
    encode_texts,
    sample_target,
)
from overpaint.models.fingerprints import computed_in, hash_tokenizer, hash_weights
from overpaint.models.fitting import check_parts, kind_of_unet
from overpaint.models.names import PARENT
from overpaint.models.pipelines import load_model
from overpaint.models.saving import save_pipeline
from overpaint.models.stable_diffusion import StableDiffusion
from overpaint.models.text_to_image import load_text_to_image
from overpaint.sampler import SamplerSettings
from overpaint.seeds import derive_seed

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

FAMILY = "ip2p"
MAX_RESOLUTION = 4096
MAX_LOSS = 20.0
"""Root of the mean squared difference, of 255, that the autoencoder alone may make.

nano's autoencoder differs by 0.2 to 19.7 (median 8 to 11) on 480 scenes, drawn at 64 and 256
pixels, as PNG and as JPEG, by 9 to 10 on the examples and by 3 to 5 on its own results; on 18
photographs of many kinds by 7.6 to 48 (median 24), 15 of them above 20.
"""

_SMALL = 256
"""Pixels: models that work above this size have autoencoders that were made for any picture."""

_CARD = """---
library_name: diffusers
pipeline_tag: image-to-image
---
# {name}

An InstructPix2Pix editor{about}
"""


@dataclass
class InstructPix2Pix(StableDiffusion):
    """Stable Diffusion that edits; see `EditModel` and `TrainableModel`."""

    @property
    def card(self) -> Card:
        """See `Card`."""
        return Card(
            family=FAMILY,
            name=self.name,
            defaults=self.defaults,
            native_size=self.native_size,
            most_steps=self.most_steps,
            device=str(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
        )

    def place(self, size: Size, resolution: int | None = None) -> Geometry:
        """As in the paper's pipeline the longer side becomes that of the model.

        Both sides become multiples of what the autoencoder halves away. The whole picture is scaled
        to that size where the original code cuts its edges off.

        Raises:
            UserError: the picture is too narrow, or the resolution makes no sense.
        """
        least = self.coarsest_factor
        if resolution is not None and not least <= resolution <= MAX_RESOLUTION:
            raise UserError(
                f"resolution {resolution} does not work: the longer side must be from {least} to "
                f"{MAX_RESOLUTION} pixels."
            )
        longer = resolution or self.native_size
        working = working_size(size, longer_side=longer, multiple=self.vae_factor, least=least)
        return Geometry(size, working)

    def remarks(self, images: Sequence[Image.Image], condition: Condition) -> list[tuple[str, ...]]:
        """Whether the autoencoder of a small model knows such pictures."""
        if self.native_size >= _SMALL:
            return [()] * len(images)
        return [
            (
                "the picture is unlike those that this model was made for (its autoencoder alone "
                f"changes it by {loss:.0f} of 255), so expect little: photographs need a model "
                "that was trained on them.",
            )
            if loss > MAX_LOSS
            else ()
            for loss in self._autoencoder_losses(images, condition["picture"])
        ]

    def _autoencoder_losses(self, images: Sequence[Image.Image], latents: Tensor) -> list[float]:
        """RMS difference, of 255, between pictures and what comes back from their latents."""
        decoded = decode_latents(self, latents * self.vae.config.scaling_factor)
        difference = decoded.astype(np.float32) - np.stack([np.asarray(one) for one in images])
        return [float(np.sqrt(np.mean(np.square(one)))) for one in difference]

    def text_remarks(self, texts: Sequence[str]) -> dict[str, str]:
        """Which texts are longer than the model reads."""
        return cut_texts(self, texts)

    def encode(self, requests: Sequence[EditRequest]) -> Condition:
        """`picture` is the encoder's mode, unscaled; each different picture is encoded once."""
        images = {id(request.image): request.image for request in requests}
        pictures = [image for image in images.values() if isinstance(image, Image.Image)]
        place = {key: at for at, key in enumerate(images)}
        latents = encode_pictures(self, pictures)[[place[id(r.image)] for r in requests]]
        texts = self.text_condition([request.instruction for request in requests])
        return {"picture": latents, **texts}

    def checkpoint_gradients(self) -> None:
        """Block by block; `save` ends it."""
        self.unet.enable_gradient_checkpointing()

    def picture_part(self, pixels: Tensor) -> Condition:
        """`picture`: the encoder's mode, unscaled."""
        return {"picture": encode_mode(self.vae, pixels)}

    def text_part(self, texts: Sequence[str]) -> Condition:
        """`text`."""
        states = encode_texts(self, texts)
        return {"text": torch.stack([states[text] for text in texts])}

    def joined(self, pictures: Condition, texts: Condition, empty: Condition) -> Condition:
        """`null_text` is the same in every row."""
        return {**pictures, **texts, "null_text": empty["text"].expand_as(texts["text"])}

    def encoders(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The autoencoder; the text tower and its tokenizer."""
        pictures = {"vae": hash_weights(self.vae), **computed_in(self.vae)}
        texts = {
            "text encoder": hash_weights(self.text_encoder),
            "tokenizer": hash_tokenizer(self.tokenizer),
        }
        return pictures, {**texts, **computed_in(self.text_encoder)}

    def save(
        self,
        folder: Path,
        *,
        dtype: torch.dtype,
        defaults: SamplerSettings,
        about: str,
        more: Mapping[str, str],
    ) -> None:
        """A pipeline folder of stock classes."""
        self.unet.disable_gradient_checkpointing()
        for part in (self.unet, self.vae, self.text_encoder):
            part.eval().cpu()
        save_pipeline(
            folder,
            unet=self.unet,
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            scheduler=self.scheduler,
            dtype=dtype,
            defaults=defaults,
            card=_CARD.format(name=folder.name, about=about),
            more=more,
        )

    def condition(self, pixels: Tensor, texts: Sequence[str]) -> Condition:
        """The same from pixels."""
        return {**self.picture_part(pixels), **self.text_condition(texts)}

    def posterior(self, pixels: Tensor) -> Tensor:
        """Mean and deviation of the autoencoder's posterior, (B, 2C, h, w), unscaled."""
        return encode_moments(self.vae, pixels)

    def target_latents(self, moments: Tensor, noise: Tensor | None) -> Tensor:
        """Scaled, (B, C, h, w)."""
        return sample_target(moments, noise, float(self.vae.config.scaling_factor))

    def with_network(self, network: nn.Module) -> Self:
        """The same with another U-Net."""
        return replace(self, unet=network)

    def asks(self, settings: SamplerSettings) -> list[Ask]:
        """Equation 3 of the paper."""
        s_t, s_i = settings.guidance_scale, settings.image_guidance_scale
        if s_t is None or s_i is None:
            raise ValueError("the settings of a sample must be complete")
        return edit_asks(s_t, s_i)

    def predict(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        """The U-Net takes 2C channels: the noisy latents first, then those of the picture."""
        seen = torch.cat([noisy, condition["picture"]], dim=1)
        answer: Tensor = self.unet(seen, times, condition["text"], return_dict=False)[0]
        return answer


def load(
    name: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> InstructPix2Pix:
    """Load a model that edits: its U-Net takes the picture's latents beside the noisy ones.

    Raises:
        UserError: nothing is there, it is broken, or it is a model that cannot edit.
    """
    model = InstructPix2Pix.of(load_model(name, device=device, dtype=dtype))
    takes, latent = int(model.unet.config.in_channels), model.latent_channels
    if takes != 2 * latent:
        advice = (
            "train an editor from it with `overpaint train`"
            if takes == latent
            else "give an editing model, or train one from a text-to-image model"
        )
        raise UserError(
            f"{name} cannot edit: its U-Net takes {takes} channels where an editing one takes "
            f"{2 * latent}, so it is {kind_of_unet(takes, latent)}; {advice}."
        )
    return model


def working_size(size: Size, *, longer_side: int, multiple: int, least: int) -> Size:
    """The (width, height) in pixels at which a picture of `size` is edited.

    Args:
        size: (width, height) of the picture.
        longer_side: what its longer side becomes.
        multiple: pixels per latent.
        least: a side may not be shorter, or the U-Net's coarsest level would have no cell.

    Raises:
        UserError: the picture is so narrow that its shorter side would be below `least`.
    """
    longer, shorter = max(size), min(size)
    if shorter * longer_side < longer * least:
        raise UserError(
            f"a picture of {size[0]} x {size[1]} pixels is too narrow to edit: its longer side may "
            f"be at most {longer_side / least:g} times the shorter one; cut it, or raise the "
            "resolution."
        )
    width, height = (round(side * longer_side / longer / multiple) * multiple for side in size)
    return width, height


def load_base(
    name: str | Path,
    device: torch.device,
    *,
    resolution: int,
    seed: int,
    unet: dict[str, Any] | None = None,
) -> InstructPix2Pix:
    """What training starts from: in float32, with a U-Net of 2C input channels that is to learn.

    Args:
        name: what `load_model` takes, or PARENT.
        device: where the frozen networks go.
        resolution: side in pixels of the pictures that it will be trained on.
        seed: of fresh weights.
        unet: the configuration of a U-Net with fresh weights; `name` may then be a folder that
            holds vae/, text_encoder/, tokenizer/ and scheduler/ only.

    Raises:
        UserError: the base cannot be loaded or does not fit the settings.
    """
    base = _parts(name, unet, resolution, seed)
    check_parts(base)
    _check_base(base, resolution)
    if base.scheduler.config.get("clip_sample"):  # latents are not pixels: pictures came out grey
        base.scheduler = type(base.scheduler).from_config(base.scheduler.config, clip_sample=False)
    base.unet = widen_conv_in(base.unet, 2 * base.latent_channels)
    base.unet.requires_grad_(True)
    for part in (base.vae, base.text_encoder):
        part.eval().requires_grad_(False).to(device)
    return base


def _parts(
    name: str | Path, unet: dict[str, Any] | None, resolution: int, seed: int
) -> InstructPix2Pix:
    folder = Path(name)
    if unet is not None and folder.is_dir() and not (folder / "unet").is_dir():
        scheduler = load_scheduler(folder)
        parts = frozen_parts(folder, torch.float32)
        fresh = _fresh_unet(unet, parts["vae"], parts["text_encoder"], resolution, seed)
        return InstructPix2Pix(unet=fresh, **parts, scheduler=scheduler, name=str(folder))
    base = InstructPix2Pix.of(
        load_text_to_image("nano", device="cpu", dtype="float32")
        if str(name) == PARENT
        else load_model(name, device="cpu", dtype="float32")
    )
    base.name = str(name)
    if unet is not None:
        base.unet = _fresh_unet(unet, base.vae, base.text_encoder, resolution, seed)
    return base


def _fresh_unet(
    given: dict[str, Any], vae: Any, text_encoder: Any, resolution: int, seed: int
) -> UNet2DConditionModel:
    """A U-Net with random weights that depend on the seed alone.

    Channels, text width and sample size follow the base where `given` leaves them out.

    Raises:
        UserError: a key or value is none that UNet2DConditionModel takes.
    """
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    follows = {
        "in_channels": 2 * vae.config.latent_channels,
        "out_channels": vae.config.latent_channels,
        "cross_attention_dim": text_encoder.config.hidden_size,
        "sample_size": resolution // factor,
    }
    for key in ("in_channels", "out_channels", "cross_attention_dim"):
        if given.get(key, follows[key]) != follows[key]:
            raise UserError(f"train.unet.{key} is {given[key]}, but the base needs {follows[key]}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "unet"))
        try:
            return UNet2DConditionModel(**{**follows, **given})
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            words = " ".join(str(error).split())[:200]
            raise UserError(f"train.unet describes no UNet2DConditionModel: {words}.") from error


def _check_base(base: InstructPix2Pix, resolution: int) -> None:
    latent, takes = base.latent_channels, int(base.unet.config.in_channels)
    if takes not in (latent, 2 * latent):
        raise UserError(
            f"{base.name} cannot become an editor: its U-Net takes {takes} channels where {latent} "
            f"(text to image) or {2 * latent} (editing) are needed, so it is "
            f"{kind_of_unet(takes, latent)}; give a text-to-image model."
        )
    if resolution % base.coarsest_factor:
        raise UserError(
            f"train.resolution {resolution} does not fit {base.name}: "
            f"it must be a multiple of {base.coarsest_factor}."
        )
    config = base.scheduler.config
    if config.get("prediction_type", "epsilon") not in PREDICTIONS:
        raise UserError(
            f"{base.name} has a scheduler with prediction_type {config.get('prediction_type')}: "
            f"training knows {', '.join(PREDICTIONS)}."
        )
    if not hasattr(base.scheduler, "alphas_cumprod"):
        raise UserError(
            f"{base.name} has a {type(base.scheduler).__name__}, which is no schedule of discrete "
            "steps: give the base a DDIM, DDPM, PNDM or Euler scheduler."
        )
