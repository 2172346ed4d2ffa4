"""Whether the parts of a model fit each other, and our method; said in words when it is loaded."""

from __future__ import annotations

from math import isfinite
from typing import Any

from overpaint.diffusion.processes import PREDICTIONS
from overpaint.errors import UserError
from overpaint.models.components import Components
from overpaint.models.trying import fit_length, try_tokenizer

LONGEST_SIDE = 4096  # pixels that a model may claim to have been made for
MOST_STEPS = 100_000  # of a noise schedule

# What a U-Net may want to be shown beside noise, time and words, which our loop has not.
_ADDED = {
    "addition_embed_type": "SDXL and Kandinsky are of this kind",
    "class_embed_type": "upscalers are of this kind",
    "num_class_embeds": "upscalers are of this kind",
    "time_cond_proj_dim": "distilled models (LCM) are of this kind",
    "encoder_hid_dim_type": "Kandinsky and IP-Adapter are of this kind",
    "encoder_hid_dim": "Kandinsky and IP-Adapter are of this kind",
}


def check_parts(model: Components) -> None:
    """Refuse parts that do not fit each other; make the tokenizer's maximum that of the tower.

    How many channels the U-Net takes is for the caller to judge: `kind_of_unet` says.

    Raises:
        UserError: saying which two do not fit, or what is asked for that we do not have.
    """
    name = model.name
    check_network(model.unet.config, name)
    _check_vae(model.vae.config, name)
    width = int(model.text_encoder.config.hidden_size)
    _check_widths(model.unet.config, width, name)
    gives, latent = int(model.unet.config.out_channels), model.latent_channels
    if gives != latent:
        raise UserError(
            f"the parts of {name} do not fit: its U-Net gives {gives} channels, the latents of "
            f"its autoencoder have {latent}."
        )
    _fit_tokenizer(model)
    _check_scheduler(model.scheduler.config, name)


def check_network(config: Any, name: str, part: str = "U-Net") -> None:
    """Refuse a U-Net or ControlNet that must be shown what our loop does not have.

    Raises:
        UserError: naming the setting.
    """
    for key, who in _ADDED.items():
        value = config.get(key)
        if value is not None:
            raise UserError(
                f"{name} is another kind of model: its {part} asks for added conditioning "
                f"({key} is {value!r}; {who}), and only Stable Diffusion 1.x and 2.x's kind runs here."
            )
    side = config.get("sample_size")
    for number in side if isinstance(side, list | tuple) else [side]:
        whole = isinstance(number, int) and not isinstance(number, bool)
        if number is not None and not (whole and 1 <= number <= LONGEST_SIDE):
            raise UserError(
                f"the {part} of {name} has a sample_size of {side!r}, where a side in latents "
                f"from 1 to {LONGEST_SIDE} is needed."
            )


def kind_of_unet(takes: int, latent: int) -> str:
    """What a U-Net is by its input channels, in words."""
    kinds = {
        latent: "a text-to-image model",
        2 * latent: "an editing model",
        2 * latent + 1: "an inpainting model, which is also shown a mask and what lies outside it",
        latent + 1: "a model that is also shown depths",
    }
    return kinds.get(takes, "another kind of model")


def _check_vae(config: Any, name: str) -> None:
    factor = config.get("scaling_factor")
    number = isinstance(factor, int | float) and not isinstance(factor, bool)
    if not (number and isfinite(factor) and factor > 0):
        raise UserError(
            f"the autoencoder of {name} has a scaling_factor of {factor!r}, where a number above 0 "
            "is needed."
        )
    for key in ("shift_factor", "latents_mean", "latents_std"):
        if config.get(key) is not None:
            raise UserError(
                f"{name} is another kind of model: its autoencoder shifts its latents ({key}), "
                "and only Stable Diffusion 1.x and 2.x's kind runs here."
            )
    if (config.get("in_channels"), config.get("out_channels")) != (3, 3):
        raise UserError(f"the autoencoder of {name} is not one for pictures of three channels.")


def _check_widths(config: Any, width: int, name: str) -> None:
    theirs = config.get("cross_attention_dim")
    for number in theirs if isinstance(theirs, list | tuple) else [theirs]:
        if number != width:
            raise UserError(
                f"the parts of {name} do not fit: its U-Net reads words of width {theirs}, its "
                f"text encoder gives {width}; take both from one model."
            )


def _fit_tokenizer(model: Components) -> None:
    """A tokenizer of no maximum, or of a longer one than the tower's, gets the tower's."""
    tower, what = model.text_encoder.config, f"the tokenizer of {model.name}"
    fit_length(model.tokenizer, int(tower.max_position_embeddings), what)
    words, rows = len(model.tokenizer), int(tower.vocab_size)
    if words > rows:
        raise UserError(
            f"the parts of {model.name} do not fit: its tokenizer has {words} tokens, its text "
            f"encoder knows {rows}; take both from one model."
        )
    try_tokenizer(model.tokenizer, rows, what)


def _check_scheduler(config: Any, name: str) -> None:
    steps = config.get("num_train_timesteps", 1000)
    if not (isinstance(steps, int) and 1 <= steps <= MOST_STEPS):
        raise UserError(
            f"the scheduler of {name} has num_train_timesteps {steps!r}, where a whole number "
            f"from 1 to {MOST_STEPS} is needed."
        )
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in (*PREDICTIONS, "flow_prediction"):
        raise UserError(
            f"the scheduler of {name} has prediction_type {prediction!r}, which is none of "
            f"{', '.join(PREDICTIONS)}."
        )
