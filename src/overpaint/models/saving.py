"""Writing a pipeline folder that stock diffusers loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.files import dir_aside
from overpaint.models.components import DEFAULTS_FILE
from overpaint.models.quiet import quiet_libraries
from overpaint.sampler import SamplerSettings

if TYPE_CHECKING:
    import torch

NOT_THERE = ("feature_extractor", "image_encoder", "safety_checker")


def save_pipeline(
    folder: Path | str,
    *,
    unet: Any,
    vae: Any,
    text_encoder: Any,
    tokenizer: Any,
    scheduler: Any,
    dtype: torch.dtype | None = None,
    defaults: SamplerSettings | None = None,
    card: str | None = None,
    more: Mapping[str, str] | None = None,
) -> Path:
    """Write a whole pipeline to `folder`, or nothing; what stood there is replaced.

    The pipeline's class is StableDiffusionInstructPix2PixPipeline when the U-Net takes 2C
    channels (C of the autoencoder's latents), else StableDiffusionPipeline. `dtype` is that of
    the stored weights (None: as they are; the models given are left alone). `defaults` are
    written as `overpaint.json`, which diffusers does not look at; `card` becomes README.md;
    `more` are further text files by name.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
        ValueError: a part is not a stock class of diffusers or transformers.
    """
    parts = {"unet": unet, "vae": vae, "text_encoder": text_encoder}
    parts |= {"tokenizer": tokenizer, "scheduler": scheduler}
    edits = unet.config.in_channels == 2 * vae.config.latent_channels
    kind = "InstructPix2PixPipeline" if edits else "Pipeline"
    index = {"_class_name": f"StableDiffusion{kind}", **_stock_names(parts)}
    with quiet_libraries(), dir_aside(folder) as aside:
        for name in ("unet", "vae", "text_encoder"):
            _in_dtype(parts[name], dtype).save_pretrained(aside / name, safe_serialization=True)
        _load_as_float32(aside / "text_encoder" / "config.json")
        # Not what its last call padded and cut to: same model, same bytes.
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.save_pretrained(aside / "tokenizer")
        # transformers 5 writes tokenizer.json alone; older readers want CLIP's two files.
        tokenizer.backend_tokenizer.model.save(str(aside / "tokenizer"))
        scheduler.save_pretrained(aside / "scheduler")
        _write_json(aside / "model_index.json", index)
        if defaults is not None:
            _write_json(aside / DEFAULTS_FILE, defaults.given())
        if card is not None:
            (aside / "README.md").write_text(card, encoding="utf-8")
        for name, text in (more or {}).items():
            (aside / name).write_text(text, encoding="utf-8")
    return Path(folder)


def _stock_names(parts: dict[str, Any]) -> dict[str, object]:
    """The rest of model_index.json: where each part's class comes from."""
    import diffusers

    index: dict[str, object] = {"_diffusers_version": diffusers.__version__}
    index |= {name: [None, None] for name in NOT_THERE} | {"requires_safety_checker": False}
    for name, part in sorted(parts.items()):
        library = type(part).__module__.partition(".")[0]
        if library not in ("diffusers", "transformers"):
            raise ValueError(f"{name} is {type(part)}, which stock diffusers cannot load")
        index[name] = [library, type(part).__name__]
    return index


def _in_dtype(model: Any, dtype: torch.dtype | None) -> Any:
    if dtype is None or model.dtype == dtype:
        return model
    return deepcopy(model).to(dtype)


def _load_as_float32(config: Path) -> None:
    """Have transformers load the text encoder in float32 unless another type is asked for.

    By default it takes the type that the configuration names and diffusers takes float32, so a
    folder of float16 weights would load with parts that do not fit together.
    """
    table = json.loads(config.read_text(encoding="utf-8"))
    _write_json(config, table | {"dtype": "float32"})


def _write_json(path: Path, table: dict[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", encoding="utf-8")
