"""Reading a diffusers pipeline folder, part by part, safetensors only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.errors import UserError
from overpaint.files import read_json
from overpaint.models.components import EditingModel, broken_model, read_defaults
from overpaint.models.names import PICKLES, refuse_pickle
from overpaint.models.quiet import quiet_libraries

if TYPE_CHECKING:
    import torch

CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
}


def load_directory(
    folder: Path, dtype: torch.dtype, unet: str = "unet", scheduler: str = "scheduler"
) -> EditingModel:
    """Load the five parts that `model_index.json` names, on the CPU.

    `unet` and `scheduler` are the folders to take these from: nano keeps a U-Net that draws from
    words, with its noise schedule, beside that which edits.

    Raises:
        UserError: a part is missing, broken, stored as a pickle, or of a class that an
            InstructPix2Pix pipeline does not have.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers.models.clip.modeling_clip import CLIPTextModel
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    index = _read_index(folder)
    for part, accepted in CLASSES.items():
        _check_class(folder, index, part, accepted)
    with quiet_libraries():
        return EditingModel(
            unet=load_weights(UNet2DConditionModel.from_pretrained, folder, unet, dtype),
            vae=load_weights(AutoencoderKL.from_pretrained, folder, "vae", dtype),
            text_encoder=load_weights(CLIPTextModel.from_pretrained, folder, "text_encoder", dtype),
            tokenizer=_load_part(CLIPTokenizer.from_pretrained, folder, "tokenizer"),
            scheduler=_load_part(_scheduler_class(folder, index), folder, scheduler),
            defaults=read_defaults(folder),
        )


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    try:
        return read_json(path, dict)
    except UserError as error:
        raise broken_model(folder, "model_index.json", error) from None


def _check_class(folder: Path, index: dict[str, Any], part: str, accepted: tuple[str, ...]) -> None:
    entry = index.get(part)
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if name not in accepted:
        raise UserError(
            f"{folder} is no InstructPix2Pix-shaped pipeline: its {part} is "
            f"{name or 'missing'} where {accepted[0]} is needed."
        )


def _scheduler_class(folder: Path, index: dict[str, Any]) -> Callable[..., Any]:
    """The loader of the scheduler that the folder names, which may be any of diffusers'."""
    import diffusers

    entry = index.get("scheduler")
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if not (isinstance(name, str) and name.endswith("Scheduler") and hasattr(diffusers, name)):
        raise UserError(f"{folder}: diffusers {diffusers.__version__} has no scheduler {name!r}.")
    loader: Callable[..., Any] = getattr(diffusers, name).from_pretrained
    return loader


def load_weights(
    from_pretrained: Callable[..., Any], folder: Path, part: str, dtype: torch.dtype
) -> Any:
    """Load one network, `folder/part`, on the CPU.

    Raises:
        UserError: it is missing, broken, stored as a pickle, or the file lacks some weights.
    """
    variant = _weights_variant(folder / part)
    model, found = _load_part(
        from_pretrained,
        folder,
        part,
        dtype=dtype,
        variant=variant,
        use_safetensors=True,
        output_loading_info=True,
    )
    missing = sorted(found["missing_keys"])
    if missing or found["mismatched_keys"]:
        which = missing[0] if missing else f"{sorted(found['mismatched_keys'])[0]}"
        raise broken_model(folder, part, f"weights are missing or misshapen, {which} first")
    return model


def _load_part(from_pretrained: Callable[..., Any], folder: Path, part: str, **options: Any) -> Any:
    """Call a library's loader on the folder of a part; its errors become one sentence."""
    from safetensors import SafetensorError

    if not (folder / part).is_dir():
        raise UserError(f"{folder} has no {part} folder: the model is not complete.")
    try:
        return from_pretrained(folder / part, local_files_only=True, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise broken_model(folder, part, error) from None


def _weights_variant(folder: Path) -> str | None:
    """Which of a part's files to take: the plain one, or those stored in float16."""
    names = [path.name for path in folder.glob("*.safetensors")]
    if any(".fp16" not in name and ".non_ema" not in name for name in names):
        return None
    if names:
        return "fp16"
    for path in sorted(folder.glob("*")):
        if path.suffix in PICKLES:
            raise refuse_pickle(path)
    raise UserError(f"{folder} holds no weights (.safetensors): the model is not complete.")
