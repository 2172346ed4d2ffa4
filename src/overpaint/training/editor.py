"""Train the U-Net that edits: arXiv:2211.09800, section 3.2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from overpaint.artifact import Artifact, last_step
from overpaint.data.cells import pairs_digest
from overpaint.families import family_of_base
from overpaint.families.ip2p import InstructPix2Pix
from overpaint.files import beside
from overpaint.models import quiet_libraries, save_pipeline
from overpaint.models.encoding import cut_texts, shorten
from overpaint.models.origin import model_origin
from overpaint.models.train_rows import FILE as TRAIN_ROWS
from overpaint.models.train_rows import as_text, read_train_rows, stored_digest
from overpaint.seeds import derive_seed
from overpaint.shards import read_pairs
from overpaint.training.latents import Batches, EncodedBatches, precompute, read_pair
from overpaint.training.log import read_log
from overpaint.training.loop import being_made, make_accelerator, settings_origin, train_loop
from overpaint.training.loss import EditingLoss
from overpaint.training.settings import TrainSettings
from overpaint.training.threads import threads_of_run
from overpaint.training.validation import ValidationSheets

if TYPE_CHECKING:
    from accelerate import Accelerator

    from overpaint.data.parquet import ParquetRows


def train_editor(
    pairs: str | Path,
    model: str | Path,
    out: str | Path,
    settings: TrainSettings,
    cache: str | Path | None = None,
) -> Path:
    """Train an editor on a folder of pairs, from a base, and write it to `out`.

    `model` is what `models.load_model` takes, or for a U-Net from scratch (`settings.unet`) a
    folder of the other parts. `out` becomes a diffusers pipeline folder of stock classes. What
    belongs to the run lies beside it, in `work_folder(out)`: log, sheets, checkpoints, and the
    encoded pictures (elsewhere with `cache`, which runs may share). The same call resumes.

    Raises:
        UserError: data, base and settings do not fit together or cannot be read, `out` holds
            something else, the loss became nan, or the disk is full.
    """
    out, state = Path(out), make_accelerator(settings)
    artifact = artifact_of(pairs, model, out, settings, state)
    with being_made(artifact, state), threads_of_run(artifact.folder / "checkpoints"):
        if artifact.state() != "whole":
            _train(pairs, model, artifact, out, settings, state, cache)
        state.wait_for_everyone()
    return out


def load_base(model: str | Path, settings: TrainSettings, device: torch.device) -> InstructPix2Pix:
    """The base in float32, of the family that it belongs to, its network ready to be trained.

    `model` is what `models.load_model` takes, or `names.PARENT`. With `settings.unet` the U-Net has
    fresh weights, and `model` may be a folder of the other parts.

    Raises:
        UserError: the base cannot be loaded or does not fit the settings.
    """
    base: InstructPix2Pix = family_of_base(model).load_base(
        model, device, resolution=settings.resolution, seed=settings.seed, unet=settings.unet
    )
    return base


def artifact_of(
    pairs: str | Path,
    model: str | Path,
    out: Path,
    settings: TrainSettings,
    accelerator: Accelerator,
) -> Artifact:
    """The editor that is made in `out` from these pairs and this base.

    Raises:
        UserError: one of them is not there, or cannot be read.
    """
    origin = {
        "stage": "editor",
        "pairs": pairs_digest(read_pairs(pairs)),
        "base": model_origin(model),
        **settings_origin(settings, accelerator),
    }
    return Artifact(work_folder(out), origin, out, last_step(settings))


def _train(
    pairs: str | Path,
    model: str | Path,
    artifact: Artifact,
    out: Path,
    settings: TrainSettings,
    state: Accelerator,
    cache: str | Path | None,
) -> None:
    work = artifact.folder
    data, data_hash = read_pairs(pairs), artifact.origin["pairs"]
    base = load_base(model, settings, state.device)
    train_rows, held_out = split_rows(len(data), settings)
    if state.is_main_process:
        for sentence in _notes(data, held_out, base, settings):
            print(f"note: {sentence}", file=sys.stderr, flush=True)
    if settings.precompute:
        folder = Path(cache) if cache else work / "cache"
        is_main = state.is_main_process
        batches: Batches = precompute(data, data_hash, base, settings, folder, is_main)
    else:
        batches = EncodedBatches(data, base, settings)
    loss = EditingLoss(base, batches, train_rows, settings.conditioning_dropout)
    if settings.gradient_checkpointing:
        base.unet.enable_gradient_checkpointing()
    validate = _sheets(data, held_out, base, settings, work) if held_out else None
    train_loop(state, base.unet, loss, settings, work, validate=validate)
    if state.is_main_process:
        _save(base, settings, out, _train_rows(data, train_rows, base))
        artifact.finish(made=_summary(work, settings))


_SHOWN = 3  # instructions that are cut


def _summary(work: Path, settings: TrainSettings) -> str:
    """What was made, in a few words."""
    losses = [line["loss"] for line in read_log(work / "log.jsonl") if "loss" in line]
    return f"{settings.steps} steps, loss {losses[-1]:.4f}"


def work_folder(out: str | Path) -> Path:
    """Where the run that makes `out` keeps its log, sheets, checkpoints and cache."""
    return beside(out, "training")


def split_rows(n_rows: int, settings: TrainSettings) -> tuple[Tensor, list[int]]:
    """Which rows to train on, int64 (N,), and which few to keep for the validation sheets."""
    generator = torch.Generator().manual_seed(derive_seed(settings.seed, "validation rows"))
    order = torch.randperm(n_rows, generator=generator)
    held_out = min(settings.validation_pairs, n_rows // 10)
    return order[held_out:].sort().values, order[:held_out].tolist()


def _notes(
    data: ParquetRows, held_out: list[int], base: InstructPix2Pix, settings: TrainSettings
) -> Iterator[str]:
    """What whoever trains should know of the data, a sentence each."""
    prompts = [text for text in data["edit_prompt"] if isinstance(text, str)]
    cut = list(cut_texts(base, prompts)) if prompts else []
    if cut:
        some = ", ".join(repr(shorten(text)) for text in cut[:_SHOWN]) + ", ..." * (
            len(cut) > _SHOWN
        )
        yield (
            f"{len(cut)} instructions are longer than the {base.tokenizer.model_max_length} tokens "
            f"that the model reads, what goes beyond is cut off: {some}."
        )
    if settings.validation_pairs and not held_out:
        yield (
            f"{len(data)} pairs are too few to keep one in ten for validation, so no sheets are "
            "drawn: from 10 pairs on there are some."
        )


def _sheets(
    data: ParquetRows, rows: list[int], base: InstructPix2Pix, settings: TrainSettings, work: Path
) -> ValidationSheets:
    return ValidationSheets([read_pair(data, row) for row in rows], base, settings, work / "sheets")


def _train_rows(data: ParquetRows, rows: Tensor, base: InstructPix2Pix) -> str:
    """The digests of the pairs trained on, and of those that the base was trained on."""
    trained = (stored_digest(data[row], data.folder) for row in rows.tolist())
    return as_text([*trained, *(read_train_rows(base.name) or ())])


def _save(base: InstructPix2Pix, settings: TrainSettings, out: Path, rows: str) -> None:
    base.unet.disable_gradient_checkpointing()
    for part in (base.unet, base.vae, base.text_encoder):
        part.eval().cpu()
    with quiet_libraries():
        save_pipeline(
            out,
            unet=base.unet,
            vae=base.vae,
            text_encoder=base.text_encoder,
            tokenizer=base.tokenizer,
            scheduler=base.scheduler,
            dtype=getattr(torch, settings.save_dtype),
            defaults=settings.sampler,
            card=_card(base, settings, out.name),
            more={TRAIN_ROWS: rows},
        )


def _card(base: InstructPix2Pix, settings: TrainSettings, name: str) -> str:
    samples = settings.steps * settings.batch_size * settings.gradient_accumulation_steps
    origin = "from scratch, with the other parts of" if settings.unet else "from"
    return f"""---
library_name: diffusers
pipeline_tag: image-to-image
---
# {name}

An InstructPix2Pix editor, trained by Overpaint {origin} `{base.name}`: {settings.steps} steps,
{samples} pictures of {settings.resolution} px, learning rate {settings.learning_rate:g}
({settings.lr_schedule}), seed {settings.seed}.
"""
