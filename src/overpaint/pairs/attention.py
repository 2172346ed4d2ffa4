"""Attention that one picture of a batch takes from another: Prompt-to-Prompt's control.

A batch holds n originals and, after them, the n edited pictures that belong to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from overpaint.diffusion.guidance import TEXT, BranchPlan
from overpaint.pairs.alignment import ColumnMix


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
        samples = plan.samples.tolist()
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
        self.maps_of: Tensor | None = None
        self.mixing = False

    def before_step(self, step: int, steps: int, latents: Tensor) -> None:
        """Decide, before the U-Net is asked, whose maps each row uses at this step."""
        replaced = (step < self.fractions * steps) & (self.originals != self.own)
        rows = torch.where(replaced, self.originals, self.own)
        self.maps_of = rows.to(latents.device) if bool(replaced.any()) else None
        self.mixing = len(self.mixed) > 0 and step < self.cross_fraction * steps

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
        samples = part.samples.tolist()
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
