"""The sampling loop: noise in, latents out, for every kind of model.

What a step needs is laid out before the first one (times, branches, conditions), so the loop never
waits for the device. Each sample draws from its own random stream: a seed gives the same picture
alone and in any batch. Samples of different numbers of steps share a batch; each leaves it when it
is done.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from overpaint.diffusion.guidance import Ask, BranchPlan, plan_branches
from overpaint.sampler import SamplerSettings

Condition = Mapping[str, Tensor]
"""What the network is shown beside the noisy latents, by name; rows (samples) first."""

BeforeStep = Callable[[int, int, Tensor], Collection[int] | None]
"""Called with (step, number of steps, latents of the samples that are not done) before the network.

It may return the positions of samples to give up, among all that the batch began with. An error
raised in it stops the loop.
"""


class SampleRow(NamedTuple):
    """One sample: the seed of its random stream, and its complete settings."""

    seed: int
    settings: SamplerSettings

    @property
    def steps(self) -> int:
        """How many steps it takes."""
        if self.settings.num_inference_steps is None:
            raise ValueError("the settings of a sample must be complete")
        return self.settings.num_inference_steps


class Sampled(NamedTuple):
    """`latents` (B, ...), and the positions of the samples that were given up on the way."""

    latents: Tensor
    dropped: frozenset[int]


class Steps:
    """A scheduler of diffusers on which `set_timesteps` was called, its timesteps on the CPU.

    It has the history of one batch of samples that go together, and is used up by it.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.times: Tensor = scheduler.timesteps
        # Only some schedulers draw noise in `step`; those take the random streams.
        self.draws = "generator" in inspect.signature(scheduler.step).parameters

    def start(self, noise: Tensor) -> Tensor:
        """The latents of pure noise (B, ...), standard normal."""
        # Those of rectified flow begin at the noise as it is, and have neither of the two.
        return noise * getattr(self.scheduler, "init_noise_sigma", 1.0)

    def scaled(self, latents: Tensor, i: int) -> Tensor:
        """The latents as the network is given them at step i."""
        if not hasattr(self.scheduler, "scale_model_input"):
            return latents
        scaled: Tensor = self.scheduler.scale_model_input(latents, self.times[i])
        return scaled

    def step(
        self, answer: Tensor, i: int, latents: Tensor, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """The latents after step i, given the guided answer of the network."""
        options = {"generator": list(generators)} if self.draws else {}
        after: Tensor = self.scheduler.step(
            answer, self.times[i], latents, return_dict=False, **options
        )[0]
        return after

    def keep(self, rows: Tensor, shape: torch.Size) -> None:
        """Go on with these rows only; what the scheduler remembers of a batch has its `shape`."""

        def kept(value: Any) -> Any:
            if isinstance(value, list):
                return [kept(item) for item in value]
            return value[rows] if isinstance(value, Tensor) and value.shape == shape else value

        for name, value in vars(self.scheduler).items():
            setattr(self.scheduler, name, kept(value))


class Denoiser(Protocol):
    """What the loop asks of a model; `families.contract.EditModel` has the rest."""

    def asks(self, settings: SamplerSettings) -> list[Ask]:
        """The branches of one sample's guidance."""

    def hide(self, condition: Condition, what: Collection[str], rows: Any = None) -> Condition:
        """The condition without `what`, in the samples where `rows` (B,) bool is true (or all)."""

    def combine(self, answers: Tensor, plan: BranchPlan) -> Tensor:
        """One guided answer a sample, (B, ...), from those of all branches, (R, ...)."""

    def noise(self, generators: Sequence[torch.Generator], size: tuple[int, int]) -> Tensor:
        """Standard normal noise for pictures of (width, height) pixels, (B, ...)."""

    def steps(self, number: int, size: tuple[int, int]) -> Steps:
        """The steps from noise to pictures of this size."""

    def predict(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        """What the network answers: (R, ...) for noisy latents (R, ...) at times (R,)."""


def seeded_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One random stream per picture, on the CPU: the same numbers whatever the device."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def draw_noise(
    shape: Sequence[int],
    generators: Sequence[torch.Generator],
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Standard normal noise (B, *shape), sample i from generators[i]."""
    noise = [torch.randn((1, *shape), generator=g, dtype=dtype) for g in generators]
    return torch.cat(noise).to(device)


@torch.inference_mode()
def sample(
    model: Denoiser,
    condition: Condition,
    rows: Sequence[SampleRow],
    size: tuple[int, int],
    before_step: BeforeStep | None = None,
) -> Sampled:
    """Follow the schedulers from noise to latents.

    Args:
        model: what is asked.
        condition: what it is shown, B rows.
        rows: B samples.
        size: (width, height) of their pictures, in pixels.
        before_step: see `BeforeStep`.

    Returns:
        Latents (B, ...), scaled as the network sees them; those of a sample that was given up are
        what it had become until then.
    """
    generators = seeded_generators([row.seed for row in rows])
    noise = model.noise(generators, size)
    groups = []
    for number in dict.fromkeys(row.steps for row in rows):
        members = [i for i, row in enumerate(rows) if row.steps == number]
        steps = model.steps(number, size)
        started = steps.start(noise if len(members) == len(rows) else noise[members])
        groups.append(_Group(members, steps, started, [generators[i] for i in members]))
    most = max(len(group.steps.times) for group in groups)
    finished: dict[int, Tensor] = {}
    dropped: set[int] = set()
    call: _Call | None = None
    for i in range(most):
        going = [group for group in groups if i < len(group.steps.times) and group.members]
        if not going:
            break
        given = before_step(i, most, _joined(going)) if before_step else None
        gone = set() if given is None else set(given)
        gone &= {member for group in going for member in group.members}
        if gone:
            dropped |= gone
            for group in going:
                finished.update(group.leave(gone))
            going = [group for group in going if group.members]
            if not going:
                break
        members = list(chain.from_iterable(group.members for group in going))
        if call is None or call.members != members:
            call = _Call.laid_out(model, condition, rows, members, going, most)
        guided = call.ask(i, torch.cat([g.steps.scaled(g.latents, i) for g in going]))
        for group, answer in zip(going, guided.split([len(g.members) for g in going]), strict=True):
            group.latents = group.steps.step(answer, i, group.latents, group.generators)
    for group in groups:
        finished.update(zip(group.members, group.latents, strict=True))
    return Sampled(torch.stack([finished[i] for i in range(len(rows))]), frozenset(dropped))


@dataclass
class _Group:
    """Samples of one number of steps: their positions in the batch, and how far they are."""

    members: list[int]
    steps: Steps
    latents: Tensor
    generators: list[torch.Generator]

    def leave(self, gone: Collection[int]) -> dict[int, Tensor]:
        """Take samples out; their latents by position."""
        left = [at for at, member in enumerate(self.members) if member in gone]
        if not left:
            return {}
        taken = {self.members[at]: self.latents[at] for at in left}
        stay = [at for at in range(len(self.members)) if at not in left]
        index = torch.tensor(stay, dtype=torch.long, device=self.latents.device)
        self.steps.keep(index, self.latents.shape)
        self.latents = self.latents[index]
        self.members = [self.members[at] for at in stay]
        self.generators = [self.generators[at] for at in stay]
        return taken


@dataclass(frozen=True)
class _Call:
    """How the network is asked for these samples, until one of them leaves."""

    model: Denoiser
    members: list[int]
    plan: BranchPlan
    shown: Condition
    clock: Tensor

    @classmethod
    def laid_out(
        cls,
        model: Denoiser,
        condition: Condition,
        rows: Sequence[SampleRow],
        members: list[int],
        groups: Sequence[_Group],
        most: int,
    ) -> _Call:
        """Conditions and times (steps, R) of every row; the CPU's last word until one leaves."""
        device = next(iter(condition.values())).device
        plan = plan_branches([model.asks(rows[member].settings) for member in members], device)
        index = torch.tensor(members, device=device)
        parts = []
        for part in plan:
            chosen = index[part.samples]
            some = {name: value[chosen] for name, value in condition.items()}
            parts.append(model.hide(some, part.hide))
        shown = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        clock = torch.cat([_clock(group, most) for group in groups], dim=1)
        return cls(model, members, plan, shown, clock.to(device)[:, plan.samples])

    def ask(self, i: int, scaled: Tensor) -> Tensor:
        """The guided answers (B, ...) at step i."""
        rows = scaled[self.plan.samples]
        return self.model.combine(self.model.predict(rows, self.clock[i], self.shown), self.plan)


def _clock(group: _Group, most: int) -> Tensor:
    """The times of a group's samples, (most, n); after its last step that of the last."""
    times = group.steps.times
    times = torch.cat([times, times[-1:].expand(most - len(times))])
    return times[:, None].expand(-1, len(group.members))


def _joined(groups: Sequence[_Group]) -> Tensor:
    return groups[0].latents if len(groups) == 1 else torch.cat([g.latents for g in groups])
