"""Results of sections are computed once, by a number of threads that does not depend on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from overpaint.engine.threads import THREADS
from overpaint.evaluation.cache import cached_result


@pytest.mark.parametrize("threads", [1, 3])
def test_a_result_is_computed_once_by_a_fixed_number_of_threads(
    tmp_path: Path, threads: int
) -> None:
    def compute() -> dict[str, int]:
        calls.append(torch.get_num_threads())
        return {"calls": len(calls)}

    calls: list[int] = []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in range(2):
            assert cached_result(tmp_path, {"model": "a"}, compute) == {"calls": 1}
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert calls == [THREADS]
