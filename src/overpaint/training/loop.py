"""The training loop, for any module and any loss.

    model = fit(model, loss, LoopSettings(steps=300, batch_size=32, learning_rate=5e-5), out)

`out/` then holds `origin.json` (what it was made from), `log.jsonl` (every metric) and
`checkpoints/`. The same call resumes a run that was killed, wherever that was, and ends in the
same weights (on the CPU to the byte): no state of a random generator or of a data loader
exists, see `training.micro_step`. Scales out with `accelerate launch` or `torchrun`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from overpaint.artifact import Artifact, binding
from overpaint.diffusion.schedules import lr_multiplier
from overpaint.errors import UserError
from overpaint.progress import Progress
from overpaint.seeds import derive_seed
from overpaint.training.checkpoints import Checkpoint, read_newest, write_checkpoint
from overpaint.training.ema import Ema
from overpaint.training.log import Log
from overpaint.training.meter import Meter
from overpaint.training.micro_step import MicroStep
from overpaint.training.muon import Muon
from overpaint.training.settings import LoopSettings
from overpaint.training.stopping import Wish, waiting_for_stops
from overpaint.training.threads import THREADS, threads_of_run

Loss = Callable[[nn.Module, MicroStep], dict[str, Tensor]]
Validate = Callable[[nn.Module, int], dict[str, float] | None]


def fit(
    model: nn.Module,
    loss: Loss,
    settings: LoopSettings,
    out: Path,
    *,
    validate: Validate | None = None,
    describe: dict[str, Any] | None = None,
    name: str = "train",
) -> nn.Module:
    """Train `model` (float32, changed in place) and return it, in eval mode, with EMA weights.

    `loss(model, step)` gives {"loss": scalar, ...} for one micro-batch; the other entries are
    logged. `validate(model, steps_done)` sees the EMA weights in eval mode without gradients,
    and may return metrics to log. `describe` (JSON values) is what else defines the run, the
    data's hash for example. `name` stands before the progress.

    Ctrl-C and SIGTERM let the step finish, a checkpoint is written, and then they take effect: a
    note of KeyboardInterrupt says what is kept. (Several processes stop at the log's next line.)

    Raises:
        UserError: `out` holds a run of another configuration or only damaged checkpoints, is
            used by another process, or cannot be written; the loss became nan or infinite; fp16 without a GPU.
    """
    accelerator = make_accelerator(settings)
    shapes = {key: list(tensor.shape) for key, tensor in named_weights(model).items()}
    origin = {
        "stage": "training",
        "weights": shapes,
        **(describe or {}),
        **settings_origin(settings, accelerator),
    }
    with being_made(Artifact(out, origin), accelerator):
        return train_loop(accelerator, model, loss, settings, out, validate=validate, name=name)


def settings_origin(settings: LoopSettings, accelerator: Accelerator) -> dict[str, Any]:
    """What a run's settings add to its origin; the precision is the one that is really used."""
    own = binding(settings)
    own["mixed_precision"] = accelerator.mixed_precision
    return {"settings": own, "device": accelerator.device.type}


@contextlib.contextmanager
def being_made(artifact: Artifact, accelerator: Accelerator) -> Iterator[None]:
    """`Artifact.being_made` in the main process, which the others of the same command follow."""
    with artifact.being_made() if accelerator.is_main_process else contextlib.nullcontext():
        accelerator.wait_for_everyone()
        yield


def train_loop(
    accelerator: Accelerator,
    model: nn.Module,
    loss: Loss,
    settings: LoopSettings,
    work: Path,
    *,
    validate: Validate | None,
    name: str = "train",
) -> nn.Module:
    """`fit`, in a folder that the caller has for itself."""
    run = _Run.build(accelerator, model, settings, work)
    try:
        with threads_of_run(work / "checkpoints"), waiting_for_stops() as wish:
            run.train(loss, validate, name, wish)
    except KeyboardInterrupt as stop:
        stop.add_note(
            f"{name}: step {run.saved} of {settings.steps} is done and kept in a checkpoint; "
            "the same command goes on there."
        )
        raise
    if run.ema is not None:
        run.ema.exchange()
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # its own forward again
    return model.eval()


def make_accelerator(settings: LoopSettings) -> Accelerator:
    """The Accelerator with the run's precision; a fresh one even after an earlier run.

    Raises:
        UserError: fp16 without a GPU, or a batch that the processes cannot share evenly.
    """
    # Accelerate keeps the first run's precision for the whole process and refuses another.
    AcceleratorState._reset_state()
    precision = settings.mixed_precision
    if precision == "auto":
        on_gpu = Accelerator(mixed_precision="no").device.type == "cuda"
        precision = "fp16" if on_gpu else "no"
        AcceleratorState._reset_state()
    accelerator = Accelerator(mixed_precision=precision)
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise UserError("mixed_precision fp16 needs a GPU: choose no or bf16 on the CPU.")
    kinds = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    if accelerator.distributed_type not in kinds:
        raise UserError(
            f"training runs on one device or data-parallel, not with {accelerator.distributed_type}"
            ": choose another configuration with `accelerate config`."
        )
    if settings.batch_size % accelerator.num_processes:
        raise UserError(
            f"batch_size {settings.batch_size} cannot be shared evenly by "
            f"{accelerator.num_processes} processes: it counts the samples of all of them."
        )
    return accelerator


@dataclass
class _Run:
    """What a step works on."""

    accelerator: Accelerator
    model: nn.Module
    wrapped: nn.Module  # what is called: the model, or its data-parallel wrapper
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    settings: LoopSettings
    out: Path
    log: Log
    meter: Meter
    since: float = field(default_factory=time.monotonic)
    since_step: int = 0
    saved: int = 0  # steps that the newest checkpoint holds

    @classmethod
    def build(
        cls, accelerator: Accelerator, model: nn.Module, settings: LoopSettings, out: Path
    ) -> _Run:
        if settings.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.to(accelerator.device).train()
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = _optimizer(trained, settings)
        ema = None if settings.ema_decay is None else Ema(trained, settings.ema_decay)
        if settings.compile:
            model.compile()
        wrapped, prepared = accelerator.prepare(model, optimizer)
        log = Log(out)
        meter = Meter(accelerator)
        return cls(accelerator, model, wrapped, prepared, ema, settings, out, log, meter)

    @property
    def main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def train(self, loss: Loss, validate: Validate | None, name: str, wish: Wish) -> None:
        """Do the steps that are not done yet, or up to a checkpoint where there is a wish to stop."""
        start = self.resume()
        if start == self.settings.steps:
            return
        shown = Progress(name, total=self.settings.steps, done=start)
        with shown if self.main else contextlib.nullcontext() as progress:
            for index in range(start, self.settings.steps):
                self.train_step(loss, index)
                self.after_step(index + 1, validate, progress)
                if self.is_to_stop(index + 1, wish):
                    self.save(index + 1)
                    return

    def is_to_stop(self, done: int, wish: Wish) -> bool:
        """Whether to stop here; several processes agree where they wait for each other anyway."""
        wanted = wish.signal is not None
        if self.accelerator.num_processes == 1:
            return wanted
        if done % self.settings.log_every:
            return False
        wishes = torch.tensor(float(wanted), device=self.accelerator.device)
        return bool(self.accelerator.reduce(wishes, "sum") > 0)

    def train_step(self, loss: Loss, index: int) -> None:
        """One optimizer step; nothing in it waits for the device."""
        settings = self.settings
        factor = lr_multiplier(settings.lr_schedule, index, settings.steps, settings.warmup_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
        for micro in range(settings.gradient_accumulation_steps):
            metrics = self._micro_step(loss, index, micro)
            self.meter.add(metrics, index + 1)
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if norm is not None:
            # Under fp16 an infinite norm is ordinary: that step is skipped and the scale lowered.
            self.meter.add({"grad_norm": norm}, index + 1, guard=self.accelerator.scaler is None)
        if self.ema is not None:
            self.ema.update(index)

    def _micro_step(self, loss: Loss, index: int, micro: int) -> dict[str, Tensor]:
        settings, accelerator = self.settings, self.accelerator
        step = MicroStep(
            index=index,
            micro=micro,
            accumulation=settings.gradient_accumulation_steps,
            batch_size=settings.batch_size,
            seed=settings.seed,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
            device=accelerator.device,
        )
        # Dropout layers draw from the global generator: seeded here, it needs no saving either.
        torch.manual_seed(derive_seed(settings.seed, "global", index, micro, step.process))
        is_last = micro + 1 == settings.gradient_accumulation_steps
        sync = contextlib.nullcontext() if is_last else accelerator.no_sync(self.wrapped)
        with sync, self._attention():  # also on the way back: checkpointing computes there again
            with accelerator.autocast():
                metrics = loss(self.wrapped, step)
            accelerator.backward(metrics["loss"] / settings.gradient_accumulation_steps)
        return metrics

    def _attention(self) -> contextlib.AbstractContextManager[Any]:
        # On the CPU the fused attention's backward pass in bfloat16 is several times slower.
        kind = (self.accelerator.device.type, self.accelerator.mixed_precision)
        plain = sdpa_kernel(SDPBackend.MATH)
        return plain if kind == ("cpu", "bf16") else contextlib.nullcontext()

    def _clip(self) -> Tensor | None:
        if self.settings.max_grad_norm is None:
            return None
        most, weights = self.settings.max_grad_norm, self.model.parameters()
        norm: Tensor | None = self.accelerator.clip_grad_norm_(weights, most)
        return norm

    def after_step(self, done: int, validate: Validate | None, progress: Progress | None) -> None:
        """Log, validate and save where it is time; `done` optimizer steps are finished."""
        settings = self.settings
        last = done == settings.steps
        note = None
        if last or done % settings.log_every == 0:
            note = self._log(done)
        if progress is not None:
            progress.advance(1, note)
        due = settings.validate_every is not None and done % settings.validate_every == 0
        if validate is not None and (last or due):
            self._validate(validate, done)
        if last or done % settings.checkpoint_every == 0:
            self.save(done)

    def _log(self, done: int) -> str:
        means = self.meter.means()
        now = time.monotonic()
        samples = self.settings.batch_size * self.settings.gradient_accumulation_steps
        rate = (done - self.since_step) * samples / max(now - self.since, 1e-9)
        self.since, self.since_step = now, done
        if self.main:
            lr = self.optimizer.param_groups[0]["lr"]
            self.log.write(done, {**means, "lr": lr, "samples_per_second": round(rate, 2)})
        self.meter.clear()
        return f"loss {means['loss']:.4f}"

    def _validate(self, validate: Validate, done: int) -> None:
        if self.main:
            self.model.eval()
            with self.ema.applied() if self.ema else contextlib.nullcontext(), torch.no_grad():
                metrics = validate(self.model, done)
            self.model.train()
            if metrics:
                self.log.write(done, metrics)
        self.accelerator.wait_for_everyone()
        self.since, self.since_step = time.monotonic(), done

    def save(self, done: int) -> None:
        """Write the checkpoint of `done` steps; a poisoned one is never written."""
        if self.saved == done:
            return
        self.meter.check()
        meter = self.meter.state()
        if self.main:
            self.log.flush()
            scaler = self.accelerator.scaler
            extra = {"scaler": None if scaler is None else scaler.state_dict()}
            extra[THREADS] = torch.get_num_threads()
            parts = {"weights": named_weights(self.model), "optimizer": self._optimizer_state()}
            parts["meter"] = meter
            if self.ema is not None:
                parts["ema"] = dict(zip(self._trained(), self.ema.tensors, strict=True))
            checkpoint = Checkpoint(done, parts, extra)
            write_checkpoint(self.out / "checkpoints", checkpoint, self.settings.keep_checkpoints)
        self.accelerator.wait_for_everyone()
        self.saved = done

    def resume(self) -> int:
        """Load the newest checkpoint that can be read; the number of steps that are done."""
        with self.accelerator.main_process_first():
            checkpoint = read_newest(self.out / "checkpoints")
        start = checkpoint.step if checkpoint else 0
        if self.main:
            self.log.truncate(start)
        self.since_step = self.saved = start
        if checkpoint is None:
            return 0
        parts = checkpoint.parts
        _copy_into(named_weights(self.model), parts["weights"])
        if self.ema is not None:
            _copy_into(dict(zip(self._trained(), self.ema.tensors, strict=True)), parts["ema"])
        self._load_optimizer(parts["optimizer"])
        self.meter.load(parts["meter"])
        if self.accelerator.scaler is not None and checkpoint.extra["scaler"]:
            self.accelerator.scaler.load_state_dict(checkpoint.extra["scaler"])
        return start

    def _trained(self) -> dict[str, nn.Parameter]:
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    def _optimizer_state(self) -> dict[str, Tensor]:
        state = self.optimizer.state
        return {
            f"{key}/{name}": value
            for name, parameter in self._trained().items()
            for key, value in state.get(parameter, {}).items()
        }

    def _load_optimizer(self, saved: dict[str, Tensor]) -> None:
        state = self.optimizer.state
        trained = self._trained()
        for key_name, value in saved.items():
            key, name = key_name.split("/", 1)
            parameter = trained[name]
            if value.shape == parameter.shape and key != "step":
                value = torch.empty_like(parameter).copy_(value)  # keeps the memory layout
            state[parameter][key] = value.to(parameter.device)


def end_processes() -> None:
    """Take this process out of its group: else the group's library may abort it as Python ends."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _optimizer(trained: list[nn.Parameter], settings: LoopSettings) -> torch.optim.Optimizer:
    betas = (settings.adam_beta1, settings.adam_beta2)
    if settings.optimizer == "muon":
        return Muon(trained, settings.learning_rate, betas, settings.weight_decay)
    return torch.optim.AdamW(
        trained,
        lr=settings.learning_rate,
        betas=betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def named_weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, each shared one once."""
    kept = model.state_dict(keep_vars=True)
    buffers = {n: b for n, b in model.named_buffers() if n in kept}
    return {**dict(model.named_parameters()), **buffers}


@torch.no_grad()
def _copy_into(target: dict[str, Tensor], source: dict[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
