"""Train the U-Net that edits: arXiv:2211.09800, section 3.2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overpaint.claims import refuse_taken
from overpaint.diffusion.conditioning_dropout import choose, drop_image, drop_text
from overpaint.diffusion.noising import add_noise, target
from overpaint.files import content_hash
from overpaint.models import EditDefaults, EditingModel, quiet_libraries, save_pipeline
from overpaint.models.train_rows import FILE as TRAIN_ROWS
from overpaint.models.train_rows import as_text, read_train_rows, stored_digest
from overpaint.seeds import derive_seed
from overpaint.shards import read_pairs
from overpaint.training.augmentation import DRAWS
from overpaint.training.base import load_base
from overpaint.training.cache import hash_weights
from overpaint.training.encoding import sample_target
from overpaint.training.latents import Batches, EncodedBatches, precompute
from overpaint.training.loop import fit, make_accelerator
from overpaint.training.settings import TrainSettings
from overpaint.training.step import Step
from overpaint.training.validation import ValidationSheets

if TYPE_CHECKING:
    from datasets import Dataset


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
    out, work = Path(out), work_folder(out)
    refuse_taken(out, work)
    state = make_accelerator(settings)
    data = read_pairs(pairs)
    data_hash = content_hash(Path(pairs, "data"))
    base = load_base(model, settings, state.device)
    if settings.precompute:
        folder = Path(cache) if cache else work / "cache"
        is_main = state.is_main_process
        batches: Batches = precompute(data, data_hash, base, settings, folder, is_main)
    else:
        batches = EncodedBatches(data, base, settings)
    train_rows, held_out = split_rows(len(data), settings)
    loss = EditingLoss(batches, train_rows, base, settings)
    if settings.gradient_checkpointing:
        base.unet.enable_gradient_checkpointing()
    describe = {
        "pairs": data_hash,
        **{f"the base's {name}": hash_weights(getattr(base, name)) for name in _NETWORKS},
    }
    validate = _sheets(data, held_out, base, settings, work) if held_out else None
    fit(base.unet, loss, settings, work, validate=validate, describe=describe)
    if state.is_main_process:
        _save(base, settings, out, _train_rows(data, train_rows, base))
    state.wait_for_everyone()
    return out


_NETWORKS = ("unet", "vae", "text_encoder")


def work_folder(out: str | Path) -> Path:
    """Where the run that makes `out` keeps its log, sheets, checkpoints and cache."""
    out = Path(out)
    return out.with_name(f"{out.name}.training")


def split_rows(n_rows: int, settings: TrainSettings) -> tuple[Tensor, list[int]]:
    """Which rows to train on, int64 (N,), and which few to keep for the validation sheets."""
    generator = torch.Generator().manual_seed(derive_seed(settings.seed, "validation rows"))
    order = torch.randperm(n_rows, generator=generator)
    held_out = min(settings.validation_pairs, n_rows // 10)
    return order[held_out:].sort().values, order[:held_out].tolist()


class EditingLoss:
    """The loss of one micro-batch: equation 2 of arXiv:2211.09800 with conditioning dropout."""

    def __init__(
        self, batches: Batches, rows: Tensor, base: EditingModel, settings: TrainSettings
    ) -> None:
        self.batches, self.rows, self.settings = batches, rows, settings
        self.scaling_factor = float(base.vae.config.scaling_factor)
        self.prediction = base.scheduler.config.get("prediction_type", "epsilon")
        self.alphas = base.scheduler.alphas_cumprod.to(base.vae.device)

    def __call__(self, unet: nn.Module, step: Step) -> dict[str, Tensor]:
        """Mean squared error between the prediction and what `target` asks for."""
        rows = self.rows[step.rows(len(self.rows))]
        u = step.uniform(DRAWS + 1, on_cpu=True)
        batch = self.batches.take(rows, u[:, :DRAWS])
        posterior, noise = step.normal(2, *batch.source.shape[1:]).unbind(1)
        timesteps = step.integers(len(self.alphas))

        drawn = None if self.settings.target_latents == "mode" else posterior
        clean = sample_target(batch.moments, drawn, self.scaling_factor)
        noisy = add_noise(clean, noise, self.alphas, timesteps)
        wanted = target(self.prediction, clean, noise, self.alphas, timesteps)

        dropped = choose(u[:, DRAWS].to(step.device), self.settings.conditioning_dropout)
        text = drop_text(batch.text, self.batches.null_text, dropped.text)
        source = drop_image(batch.source, dropped.image)
        seen = torch.cat([noisy, source], dim=1)
        predicted = unet(seen, timesteps, text, return_dict=False)[0]
        return {"loss": F.mse_loss(predicted.float(), wanted)}


def _sheets(
    data: Dataset, rows: list[int], base: EditingModel, settings: TrainSettings, work: Path
) -> ValidationSheets:
    return ValidationSheets([data[row] for row in rows], base, settings, work / "sheets")


def _train_rows(data: Dataset, rows: Tensor, base: EditingModel) -> str:
    """The digests of the pairs trained on, and of those that the base was trained on."""
    from datasets import Image

    stored = data.select_columns(["original_image", "edit_prompt"])
    stored = stored.cast_column("original_image", Image(decode=False))
    return as_text(
        [*map(stored_digest, stored.select(rows.tolist())), *(read_train_rows(base.name) or ())]
    )


def _save(base: EditingModel, settings: TrainSettings, out: Path, rows: str) -> None:
    base.unet.disable_gradient_checkpointing()
    for part in (base.unet, base.vae, base.text_encoder):
        part.eval().cpu()
    defaults = EditDefaults(
        settings.num_inference_steps, settings.guidance_scale, settings.image_guidance_scale
    )
    with quiet_libraries():
        save_pipeline(
            out,
            unet=base.unet,
            vae=base.vae,
            text_encoder=base.text_encoder,
            tokenizer=base.tokenizer,
            scheduler=base.scheduler,
            dtype=getattr(torch, settings.save_dtype),
            defaults=defaults,
            card=_card(base, settings, out.name),
            more={TRAIN_ROWS: rows},
        )


def _card(base: EditingModel, settings: TrainSettings, name: str) -> str:
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
