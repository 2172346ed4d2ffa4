"""The settings of a sampler, where editing is concerned; see `overpaint.sampler`."""

from __future__ import annotations

from overpaint.sampler import SamplerSettings

__all__ = ["SamplerSettings"]
