"""Fine-tuning a causal language model on triplets, with TRL and PEFT.

    OUT/                    the adapter or the model, its tokenizer, overpaint.json, README.md
    OUT.training/origin.json   what the run is made from
    OUT.training/log.jsonl  every logged metric, and loss.png, its curve
    OUT.training/checkpoint-*

The loss is on the completion only. Prompts are padded on the left and completions on the right, so
that in every batch the same few columns hold labels, and the output layer, whose vocabulary costs
more than all the rest of a small model, is computed for those alone.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from overpaint.artifact import Artifact, binding
from overpaint.contact_sheets.loss_curve import draw_curve
from overpaint.data.formats import read_triplets
from overpaint.digests import text_digest
from overpaint.errors import UserError, missing_extra
from overpaint.files import beside, dir_aside, read_json, write_atomic, write_json
from overpaint.images import save_image
from overpaint.instruct.completions import NO_LABEL, Collate, LengthBuckets, encode
from overpaint.instruct.filters import keep_triplets
from overpaint.instruct.models import (
    LanguageModel,
    load_language_model,
    write_note,
    writer_origin,
)
from overpaint.instruct.settings import FinetuneSettings, InstructSettings
from overpaint.models import pick_device, quiet_libraries
from overpaint.progress import Progress
from overpaint.rows import Triplet
from overpaint.seeds import derive_seed
from overpaint.tally import Tally

try:
    from peft import LoraConfig
    from transformers import PrinterCallback, TrainerCallback, set_seed
    from trl import SFTConfig, SFTTrainer
except ImportError as error:
    raise missing_extra("fine-tuning a language model", "llm") from error

if TYPE_CHECKING:
    from datasets import Dataset

_WHOLE = "whole"  # in a checkpoint that was written to its end


def finetune(
    data: str | Path,
    model: str | Path,
    out: str | Path,
    settings: InstructSettings,
    device: str | None = None,
) -> dict[str, Any]:
    """Fine-tune `model` on the triplets of `data`, write it to `out` and return a report.

    The same call resumes from the newest whole checkpoint; a finished run does nothing.

    Raises:
        UserError: data or model cannot be read, `out` holds something else or the run of other
            settings, or the disk is full.
    """
    out, tally = Path(out), Tally()
    rows = usable_triplets(data, settings, tally)
    artifact = artifact_of(rows, model, out, settings)
    work = artifact.folder
    with artifact.being_made():
        made = artifact.made()
        if made is not None and artifact.state() == "whole":
            return dict(made["facts"]["report"])
        place = pick_device(device)
        language_model = load_language_model(model, place, torch.float32)
        train, test = (
            encode(part, language_model, settings, tally) for part in split(rows, settings)
        )
        if len(train) == 0:
            raise UserError(
                f"{data} holds no triplet to train on: all were rejected ({tally.commonest() or 'none was left'})."
            )
        report = {"rows": len(train), "held_out": len(test), "tally": tally.to_dict()}
        report |= _train(language_model, train, test, work, settings, str(place.type) == "cpu")
        report |= {"output": str(out), "work": str(work)}
        trained = report.pop("trained")
        write_json(work / "report.json", report)
        _save(language_model, trained, str(model), out, settings, report)
        artifact.finish(report=report)
    return report


def usable_triplets(data: str | Path, settings: InstructSettings, tally: Tally) -> list[Triplet]:
    """The triplets of a source that can be trained on; `tally` counts what cannot.

    Raises:
        UserError: the source cannot be read.
    """
    need_reflection = settings.finetune.need_reflection
    return list(keep_triplets(read_triplets(data, tally), tally, need_reflection=need_reflection))


def artifact_of(
    rows: Sequence[Triplet], model: str | Path, out: Path, settings: InstructSettings
) -> Artifact:
    """The writer that is made in `out` from these rows and a base.

    Raises:
        UserError: there is no such base, or it cannot be read.
    """
    origin = {
        "stage": "writer",
        "triplets": text_digest(json.dumps(row.to_row(), sort_keys=True) for row in rows),
        "base": writer_origin(model),
        "format": settings.format,
        "seed": settings.seed,
        "settings": binding(settings.finetune),
    }
    return Artifact(
        beside(out, "training"), origin, out, last={"temperature": settings.generate.temperature}
    )


def split(
    rows: Sequence[Triplet], settings: InstructSettings
) -> tuple[list[Triplet], list[Triplet]]:
    """Rows to train on, and rows held out (at most a fifth), drawn by the seed."""
    generator = torch.Generator().manual_seed(derive_seed(settings.seed, "held-out triplets"))
    order = torch.randperm(len(rows), generator=generator).tolist()
    count = min(settings.finetune.held_out, len(rows) // 5)
    return [rows[i] for i in sorted(order[count:])], [rows[i] for i in sorted(order[:count])]


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, computing logits for the columns with labels only."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> LengthBuckets:
        """An order that a resumed run finds again, whatever was drawn before."""
        dataset = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in dataset["input_ids"]]
        return LengthBuckets(lengths, self.args.per_device_train_batch_size, self.args.seed)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The mean negative log-likelihood of the labels (their sum over `num_items_in_batch`)."""
        labels = inputs["labels"]
        columns = labels.shape[1] - int((labels != NO_LABEL).any(0).int().argmax())
        rest = {name: value for name, value in inputs.items() if name != "labels"}
        outputs = model(**rest, use_cache=False, logits_to_keep=columns + 1)
        logits, wanted = outputs.logits[:, :-1].float(), labels[:, -columns:]
        loss = F.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=NO_LABEL, reduction="sum"
        )
        count = (wanted != NO_LABEL).sum() if num_items_in_batch is None else num_items_in_batch
        loss = loss / count
        return (loss, outputs) if return_outputs else loss


class _Keeper(TrainerCallback):  # type: ignore[misc]
    """Writes the log as it grows, and marks checkpoints that are whole."""

    def __init__(self, work: Path, before: float | None) -> None:
        self.work, self.before = work, before
        self.progress: Progress | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress = Progress("fine-tuning", total=state.max_steps, done=state.global_step)
        self.progress.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.progress is not None:
            last = next((e["loss"] for e in reversed(state.log_history) if "loss" in e), None)
            self.progress.advance(1, None if last is None else f"loss {last:.4f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.progress is not None:
            self.progress.__exit__(None, None, None)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # The history comes back from a checkpoint, so no step stands twice after a resume.
        write_log(self.work, self.before, state.log_history)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = self.work / f"checkpoint-{state.global_step}"
        for path in folder.iterdir():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        write_atomic(folder / _WHOLE, b"")


def write_log(work: Path, before: float | None, history: Sequence[dict[str, Any]]) -> None:
    """Write `log.jsonl` and `loss.png` from a trainer's history."""
    lines = [] if before is None else [{"step": 0, "eval_loss": before}]
    for entry in history:
        if "loss" in entry or "eval_loss" in entry:
            lines.append({name: entry[name] for name in _LOGGED if name in entry})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_atomic(work / "log.jsonl", text.encode())
    train = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    held_out = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
    curve = draw_curve({"training": train, "held out": held_out})
    if curve is not None:
        save_image(curve, work / "loss.png")


_LOGGED = ("step", "loss", "eval_loss", "learning_rate", "grad_norm", "epoch")


def _train(
    language_model: LanguageModel,
    train: Dataset,
    test: Dataset,
    work: Path,
    settings: InstructSettings,
    on_cpu: bool,
) -> dict[str, Any]:
    values = settings.finetune
    set_seed(settings.seed)
    lora = None
    if values.method == "lora":
        lora = LoraConfig(
            r=values.lora_rank,
            lora_alpha=values.lora_alpha,
            lora_dropout=values.lora_dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
    with quiet_libraries():
        trainer = CompletionTrainer(
            model=language_model.model,
            args=_arguments(work, settings, on_cpu, evaluate=len(test) > 0),
            train_dataset=train,
            eval_dataset=test if len(test) else None,
            processing_class=language_model.tokenizer,
            peft_config=lora,
            data_collator=Collate(language_model.tokenizer.pad_token_id),
        )
        trainer.remove_callback(PrinterCallback)  # ours shows the progress, on stderr
        before = _loss_before(trainer, work) if len(test) else None
        trainer.add_callback(_Keeper(work, before))
        set_seed(settings.seed)  # what was drawn above differs in a run that goes on
        trainer.train(resume_from_checkpoint=_newest_whole(work))
        after = _last_held_out_loss(trainer) if len(test) else None
    return {
        "steps": trainer.state.global_step,
        "held_out_loss_before": before,
        "held_out_loss_after": after,
        "trained": trainer.accelerator.unwrap_model(trainer.model),
    }


def _arguments(
    work: Path, settings: InstructSettings, on_cpu: bool, *, evaluate: bool
) -> SFTConfig:
    values = settings.finetune
    bf16 = values.precision == "bf16"
    if values.precision == "auto":
        bf16 = not on_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return SFTConfig(
        output_dir=str(work),
        use_cpu=on_cpu,
        seed=settings.seed,
        num_train_epochs=values.epochs,
        max_steps=values.max_steps or -1,
        per_device_train_batch_size=values.batch_size,
        per_device_eval_batch_size=values.batch_size,
        gradient_accumulation_steps=values.gradient_accumulation_steps,
        learning_rate=values.learning_rate,
        lr_scheduler_type=values.lr_schedule,
        warmup_steps=values.warmup_steps,
        weight_decay=values.weight_decay,
        max_grad_norm=values.max_grad_norm,
        activation_checkpointing=values.gradient_checkpointing,
        bf16=bf16,
        max_length=None,
        completion_only_loss=False,  # the labels are ours: see `encode`
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        # By steps, so that a checkpoint holds what was measured before it.
        eval_strategy="steps" if evaluate else "no",
        eval_steps=0.25,  # of all steps
        save_steps=values.checkpoint_every,
        save_total_limit=2,
        logging_steps=values.log_every,
        prediction_loss_only=True,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=not on_cpu,
    )


def _loss_before(trainer: CompletionTrainer, work: Path) -> float:
    """The held-out loss of the untrained model; measured once, for resumed runs too."""
    path = work / "before.json"
    if not path.is_file():
        loss = trainer.evaluate()["eval_loss"]
        write_atomic(path, json.dumps({"eval_loss": loss}).encode())
        trainer.state.log_history.clear()
    return float(read_json(path, dict)["eval_loss"])


def _last_held_out_loss(trainer: CompletionTrainer) -> float:
    """The held-out loss of the trained model, which its last step may have measured."""
    history = trainer.state.log_history
    measured = [e for e in history if "eval_loss" in e and e["step"] == trainer.state.global_step]
    return float((measured or [trainer.evaluate()])[-1]["eval_loss"])


def _newest_whole(work: Path) -> str | None:
    """The newest checkpoint that was written to its end; the others are deleted."""
    found = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in found:
        if not (path / _WHOLE).is_file():
            shutil.rmtree(path)
    whole = [path for path in found if path.is_dir()]
    return str(whole[-1]) if whole else None


def _save(
    language_model: LanguageModel,
    trained: Any,
    base: str,
    out: Path,
    settings: InstructSettings,
    report: dict[str, Any],
) -> None:
    if Path(base).expanduser().is_dir():
        base = str(Path(base).expanduser().resolve())  # found again from any folder
    for config in getattr(trained, "peft_config", {}).values():
        config.base_model_name_or_path = base  # not where the cache of this machine lies
        config.target_modules = sorted(config.target_modules)  # a set has another order every time
    with quiet_libraries(), dir_aside(out) as aside:
        # An adapter of ours has no embeddings in it, and peft would ask the hub about the base's.
        more = {"save_embedding_layers": False} if settings.finetune.method == "lora" else {}
        trained.save_pretrained(aside, **more)
        language_model.tokenizer.save_pretrained(aside)
        (aside / "README.md").write_text(_card(base, out.name, settings, report), encoding="utf-8")
        write_note(aside, settings.format, base, settings.generate.temperature)


def _card(base: str, name: str, settings: InstructSettings, report: dict[str, Any]) -> str:
    values: FinetuneSettings = settings.finetune
    library = "peft" if values.method == "lora" else "transformers"
    losses = ""
    if report["held_out_loss_before"] is not None:
        losses = (
            f"\n\nLoss on {report['held_out']} held-out rows: {report['held_out_loss_before']:.3f} "
            f"before, {report['held_out_loss_after']:.3f} after."
        )
    return f"""---
library_name: {library}
pipeline_tag: text-generation
---
# {name}

Writes an edit instruction and the edited caption for a caption (text format `{settings.format}`).
Fine-tuned by Overpaint ({values.method}) from `{Path(base).name if Path(base).is_dir() else base}` on {report["rows"]} triplets in
{report["steps"]} steps, learning rate {values.learning_rate:g}, seed {settings.seed}.{losses}
"""
