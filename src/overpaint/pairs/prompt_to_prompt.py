"""Pairs by Prompt-to-Prompt (arXiv:2208.01626) as the paper uses it (2211.09800, section 3.1.2).

Both captions are sampled together, from the same noise. For a fraction p of the steps the edited
picture takes the self-attention maps of the original: the larger p, the more they are alike. How
much change an edit needs nobody knows beforehand, so p is drawn anew for each candidate.

A batch holds n originals and, after them, the n edited pictures that belong to them. The variants
that share cross-attention need to know which words of the edited caption are which of the
original's: `token_alignment` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from overpaint.diffusion.guidance import TEXT, BranchPlan
from overpaint.models import TextToImageModel
from overpaint.pairs.candidates import Candidate, CandidateSpec
from overpaint.pairs.sampler import Sampler, batches, uniform
from overpaint.pairs.settings import PairsSettings
from overpaint.pairs.token_alignment import ColumnMix, mix_columns
from overpaint.rows import Triplet
from overpaint.seeds import derive_seed


class PromptToPromptMethod:
    """Samples candidates, both pictures of each at once, with one model.

    Raises:
        UserError: the model cannot draw as the settings ask (see `Sampler`).
    """

    def __init__(self, model: TextToImageModel, settings: PairsSettings) -> None:
        self.model = model
        self.settings = settings
        self.sampler = Sampler(model, settings)

    def draw_sources(self, triplets: Sequence[Triplet], seeds: Sequence[int]) -> None:
        """None: every candidate has an original of its own."""

    def draw_candidates(
        self, triplets: Sequence[Triplet], seeds: Sequence[int], sources: None = None
    ) -> list[list[Candidate]]:
        """`settings.candidates` pairs of pictures for every row, each from a seed of its own.

        All of them are in memory at once: `candidates` x 2 pictures a row.

        Args:
            triplets: the rows.
            seeds: theirs.
            sources: there are none.

        Raises:
            ArithmeticError: the model's output is not a number.
        """
        prompts = [(triplet.original_prompt, triplet.edited_prompt) for triplet in triplets]
        texts = self.sampler.embed([text for both in prompts for text in both])
        mixes = [self._mix(triplet) for triplet in triplets]
        specs = [spec for row, seed in enumerate(seeds) for spec in self._specs(row, seed)]
        found: list[list[Candidate]] = [[] for _ in triplets]
        for batch in batches(specs, max(1, self.settings.batch_size // 2)):
            pictures = self._sample(batch, prompts, texts, mixes)
            originals, edited = pictures[: len(batch)], pictures[len(batch) :]
            for spec, before, after in zip(batch, originals, edited, strict=True):
                found[spec.row].append(Candidate(spec, before, after))
        return found

    def _specs(self, row: int, row_seed: int) -> list[CandidateSpec]:
        settings, specs = self.settings, []
        for number in range(settings.candidates):
            seed = derive_seed(row_seed, "candidate", number)
            guidance = uniform(settings.guidance_scale, derive_seed(seed, "guidance"))
            fraction = uniform(settings.attention_fraction, derive_seed(seed, "attention"))
            specs.append(CandidateSpec(row, seed, guidance, attention_fraction=fraction))
        return specs

    def _mix(self, triplet: Triplet) -> ColumnMix | None:
        return mix_columns(
            self.model.tokenizer,
            triplet.original_prompt,
            triplet.edited_prompt,
            self.settings.cross_attention,
            self.settings.reweight,
        )

    def _sample(
        self,
        specs: Sequence[CandidateSpec],
        prompts: Sequence[tuple[str, str]],
        texts: dict[str, Tensor],
        mixes: Sequence[ColumnMix | None],
    ) -> np.ndarray:
        """The originals of one batch of candidates, then their edited pictures.

        `prompts` (before and after) and `mixes` are the rows'.
        """
        guidance = [spec.guidance_scale for spec in specs] * 2
        attention = SharedAttention(
            self.sampler.plan(guidance),
            [spec.attention_fraction or 0.0 for spec in specs],
            [mixes[spec.row] for spec in specs],
            self.settings.cross_attention_fraction,
        )
        captions = [prompts[spec.row][which] for which in (0, 1) for spec in specs]
        seeds = [spec.seed for spec in specs] * 2
        with shared_attention(self.model.unet, attention):
            return self.sampler.sample(
                captions, seeds, guidance, texts, before_step=attention.before_step
            )


class SharedAttention:
    """An attention processor of diffusers for all layers of a U-Net, and the clock it goes by.

    Self-attention (arXiv:2211.09800, section 3.1.2): at step i of n, the edited pictures whose
    fraction p has i < p n take the maps of their originals, in every branch of the guidance.
    Cross-attention (arXiv:2208.01626, section 3.2): while i < `cross_fraction` n, edited pictures
    with a `ColumnMix` take columns of their originals' maps, where the caption is shown.

    Args:
        plan: the U-Net's rows, for 2n samples.
        fractions: p of each of the n pairs, in [0, 1].
        mixes: a pair's `ColumnMix`, or None.
        cross_fraction: in [0, 1].
    """

    def __init__(
        self,
        plan: BranchPlan,
        fractions: Sequence[float],
        mixes: Sequence[ColumnMix | None],
        cross_fraction: float,
    ) -> None:
        pairs = len(fractions)
        samples = plan.samples.cpu().tolist()
        self.own = torch.arange(len(samples))
        self.originals = torch.tensor(_rows_of_originals(plan, pairs))
        self.fractions = torch.tensor(fractions, dtype=torch.float64)[plan.samples.cpu() % pairs]
        self.cross_fraction = cross_fraction
        # Rows of the edited pictures that see their caption, where columns are to be mixed.
        shown = len(plan.parts[0].samples) if TEXT not in plan.parts[0].hide else 0
        chosen = {
            row: mix
            for row in range(shown)
            if samples[row] >= pairs and (mix := mixes[samples[row] - pairs]) is not None
        }
        device = plan.samples.device
        self.mixed = torch.tensor(list(chosen), dtype=torch.long, device=device)
        self.mixed_with = self.originals.to(device)[self.mixed]
        if chosen:
            from_original = torch.stack([mix.from_original for mix in chosen.values()])
            own_columns = torch.stack([mix.own for mix in chosen.values()])
            self.from_original = from_original[:, None].to(device)
            self.own_columns = own_columns[:, None, None].to(device)
        self.rows_at: list[Tensor | None] = []
        self.maps_of: Tensor | None = None
        self.mixing = False

    def before_step(self, step: int, steps: int, latents: Tensor) -> None:
        """Decide, before the U-Net is asked, whose maps each row uses at this step."""
        if not step:  # laid out at once: a copy at every step would wait for the device
            self.rows_at = self._lay_out(steps, latents.device)
        self.maps_of = self.rows_at[step]
        self.mixing = len(self.mixed) > 0 and step < self.cross_fraction * steps

    def _lay_out(self, steps: int, device: torch.device) -> list[Tensor | None]:
        """For each step the row whose maps each row (R,) uses; None where all use their own."""
        replaced = torch.arange(steps)[:, None] < self.fractions * steps
        replaced &= self.originals != self.own
        rows = torch.where(replaced, self.originals, self.own).to(device)
        return [
            row if any_ else None for row, any_ in zip(rows, replaced.any(1).tolist(), strict=True)
        ]

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """One attention layer of a transformer block, (R, pixels, D) to the same."""
        is_self = encoder_hidden_states is None
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = _split(attn.to_q(hidden_states), attn.heads)
        key = _split(attn.to_k(context), attn.heads)
        value = _split(attn.to_v(context), attn.heads)
        if is_self and self.maps_of is not None:
            query, key = query[self.maps_of], key[self.maps_of]
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        if not is_self and self.mixing:
            found[self.mixed] = self._mix(query, key) @ value[self.mixed]
        found = found.transpose(1, 2).flatten(2).to(hidden_states.dtype)
        out: Tensor = attn.to_out[1](attn.to_out[0](found))
        return out

    def _mix(self, query: Tensor, key: Tensor) -> Tensor:
        """The mixed cross-attention maps of the rows in `mixed`, (rows, heads, pixels, L)."""
        originals = _maps(query[self.mixed_with], key[self.mixed_with])
        edited = _maps(query[self.mixed], key[self.mixed])
        mixed = originals @ self.from_original + edited * self.own_columns
        return mixed.to(query.dtype)


@contextmanager
def shared_attention(unet: Any, attention: SharedAttention) -> Iterator[None]:
    """Let all attention layers of `unet` go through `attention`, and give them theirs back."""
    before = dict(unet.attn_processors)
    unet.set_attn_processor(attention)
    try:
        yield
    finally:
        unet.set_attn_processor(before)


def _rows_of_originals(plan: BranchPlan, pairs: int) -> list[int]:
    """For each row the row of its original in the same branch; an original's is its own."""
    rows: list[int] = []
    for part in plan:
        start = len(rows)
        samples = part.samples.cpu().tolist()
        place = {sample: start + i for i, sample in enumerate(samples)}
        rows += [place[sample % pairs] for sample in samples]
    return rows


def _split(states: Tensor, heads: int) -> Tensor:
    """(R, N, heads x D) to (R, heads, N, D)."""
    return states.unflatten(2, (heads, -1)).transpose(1, 2)


def _maps(query: Tensor, key: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(D)), in float32."""
    similar = query @ key.transpose(-1, -2)
    return (similar.float() * query.shape[-1] ** -0.5).softmax(-1)
