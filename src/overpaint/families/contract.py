"""What an editor is to the rest of Overpaint.

Two levels: a `Driver` is whatever can edit (our loop, a stock pipeline, a hosted endpoint); an
`EditModel` is a family on our own sampling loop, which `loop.LoopDriver` makes a `Driver`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from PIL import Image

from overpaint.diffusion.sampling import BeforeStep, Condition, Denoiser
from overpaint.sampler import SamplerSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from overpaint.diffusion.processes import Process
    from overpaint.images import ImageSource

Size = tuple[int, int]
"""(width, height) in pixels."""

Remarks = dict[int, tuple[str, ...]]
"""Sentences about pictures at their working size, by their `id`; of most there are none."""


@dataclass(frozen=True)
class Card:
    """What an editor is and can do.

    `defaults` are complete: what a request leaves out is taken from them. `scales` are the names of
    the guidance scales that it has. `device` and `dtype` are where and in which number format it
    computes ("" where nobody knows). `pixels_at_once` is how much fits into one batch.
    """

    family: str
    name: str
    defaults: SamplerSettings
    native_size: int
    most_steps: int
    scales: tuple[str, ...] = ("guidance_scale", "image_guidance_scale")
    device: str = ""
    dtype: str = ""
    pixels_at_once: int = 8 * 512 * 512


@dataclass(frozen=True)
class Geometry:
    """The size at which a picture is edited, and the way back to its own pixels.

    The whole picture is scaled to `working` and back to `size`, so that the result lies exactly
    over the input. A family that crops or pads has a geometry of its own with these two methods.
    """

    size: Size
    working: Size

    def into(self, image: Image.Image) -> Image.Image:
        """The picture of `size` at its working size."""
        return _resized(image, self.working)

    def back(self, image: Image.Image) -> Image.Image:
        """A picture of the working size at `size`."""
        return _resized(image, self.size)


@dataclass(frozen=True)
class EditRequest:
    """One picture to edit.

    `image` is a path, an address, a PIL image or an array (see `images.load_image`); a `Driver` is
    given PIL images at their working size. What `settings` leave out is the model's own.
    """

    image: ImageSource
    instruction: str
    seed: int = 0
    settings: SamplerSettings = field(default_factory=SamplerSettings)


@dataclass(frozen=True)
class Edit:
    """One edited picture, what made it, and what should be known of it.

    `notes` are sentences: transparency was laid on white, the instruction was cut short, the
    picture is unlike those that the model was made for, ... Where `cancelled`, the edit was given
    up on the way, and `image` is the picture as it was.
    """

    image: Image.Image
    instruction: str
    seed: int
    guidance_scale: float
    image_guidance_scale: float
    turn: int = 0
    notes: tuple[str, ...] = ()
    cancelled: bool = False


class Driver(Protocol):
    """Whatever can edit."""

    @property
    def card(self) -> Card:
        """What it is and can do."""

    def place(self, size: Size, resolution: int | None = None) -> Geometry:
        """At which size a picture of `size` is edited; `resolution` is a longer side asked for.

        Raises:
            UserError: that cannot work.
        """

    def edit(
        self,
        requests: Sequence[EditRequest],
        before_step: BeforeStep | None = None,
        remarks: Remarks | None = None,
    ) -> list[Edit]:
        """Edit pictures of one working size, with complete settings, in one batch.

        `before_step` may name requests to give up, by their positions. `remarks` holds what is
        known of pictures already; those of pictures that it lacks are added to it, so that each
        picture of several batches is looked at once. An `Edit.notes` begins with its picture's.

        Raises:
            UserError: the model failed, or a setting is one that it cannot follow.
        """


class EditModel(Denoiser, Protocol):
    """A family on our own loop. Beside the following it has all that `sample` asks of a model."""

    @property
    def card(self) -> Card:
        """What it is and can do."""

    @property
    def network(self) -> nn.Module:
        """What is asked at each step: trained, saved, given a LoRA."""

    @property
    def process(self) -> Process:
        """The forward process it was trained on."""

    def place(self, size: Size, resolution: int | None = None) -> Geometry:
        """As `Driver.place`."""

    def remarks(self, images: Sequence[Image.Image], condition: Condition) -> list[tuple[str, ...]]:
        """What should be known of each of these pictures; mostly there is nothing.

        `condition` is what `encode` made of them, a row a picture.
        """

    def text_remarks(self, texts: Sequence[str]) -> dict[str, str]:
        """Those of `texts` of which something should be known, each with a sentence."""

    def encode(self, requests: Sequence[EditRequest]) -> Condition:
        """What the network is shown, a row a request; pictures are of one size.

        All of a request is given, for some families read picture and text together, or show the
        network a scale of the settings.
        """

    def decode(self, latents: Tensor, size: Size) -> Tensor:
        """The pixels of latents (B, ...): (B, 3, height, width), about [-1, 1]."""


class TrainableModel(EditModel, Protocol):
    """A family that can also be trained.

    `hide` is then asked with `rows` (B,): in which samples. Pixels are float32 (B, 3, H, W) in
    [-1, 1].
    """

    def with_network(self, network: nn.Module) -> Self:
        """The same model, of which `network` is asked: a wrapper of its own, or averaged weights."""

    def condition(self, pixels: Tensor, texts: Sequence[str]) -> Condition:
        """As `encode`, of pictures as pixels."""

    def posterior(self, pixels: Tensor) -> Tensor:
        """What is kept of edited pictures, (B, 2C, ...): mean and deviation of their latents."""

    def target_latents(self, moments: Tensor, noise: Tensor | None) -> Tensor:
        """z_0 (B, C, ...), as the network sees latents, from what `posterior` gave.

        With `noise` (B, C, ...) a sample of the posterior, without it the mode.
        """


def _resized(image: Image.Image, size: Size) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
