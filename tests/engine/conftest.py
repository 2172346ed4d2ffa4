"""A job over numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stages import Square

from overpaint.engine import Job
from overpaint.shards import row_key, split

MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """Builds a job of `count` numbers; `trouble` says which of them make some."""
    from datasets import Features, Value

    def make(
        name: str = "out", trouble: Mapping[int, str] | None = None, count: int = 40, **changes: Any
    ) -> Job:
        rows = [{"n": n, "trouble": (trouble or {}).get(n)} for n in range(count)]
        values = {
            "out": tmp_path / name,
            "title": "squares",
            "shards": split(rows, lambda row: row_key(str(row["n"])), 8),
            "open_stage": partial(Square, tmp_path / f"{name}.notes"),
            "features": Features({"n": Value("int64"), "square": Value("int64")}),
            "record": {"numbers": count, "stage": {"power": 2}},
            **changes,
        }
        return Job(**values)

    return make
