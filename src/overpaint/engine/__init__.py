"""Run a stage over shards: in this process, or on the workers of a Ray cluster.

    OUT/data/train-00000-of-000NN.parquet one shard, written whole or not at all
    OUT/tallies/train-00000-of-000NN.json what its stage says of it and its digest, written after it

A shard is made of its own rows and nothing else, so it has the same bytes whichever worker
makes it, and a run that was stopped does the shards that are missing.
"""

from __future__ import annotations

from overpaint.engine.job import Done, Engine, Job, Made, Row, Stage
from overpaint.engine.running import quarantined, run

__all__ = ["Done", "Engine", "Job", "Made", "Row", "Stage", "quarantined", "run"]
