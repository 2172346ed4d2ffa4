"""The same job on Ray: the same bytes, whatever becomes of the workers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from squares import calls, squares, whole_shards

from overpaint.digests import digest
from overpaint.engine import Engine, run
from overpaint.engine.cluster import connected
from overpaint.errors import UserError

TROUBLE = {3: "kill once", 5: "bad", 7: "bad once"}  # in three shards


@pytest.fixture(scope="module", autouse=True)
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests, started from a folder where nothing of ours lies."""
    here = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    with connected(Engine("ray", workers=2)):
        yield
    os.chdir(here)


def test_two_workers_make_the_bytes_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # relative paths are the same for the workers
    run(squares(Path(), "inline"))
    job = squares(Path(), "ray")
    run(job, Engine("ray", workers=2))
    assert digest(job.out) == digest("inline")
    assert sorted(rows for _, rows in calls(job)) == sorted(whole_shards(job))
    assert os.getpid() not in {process for process, _ in calls(job)}


def test_a_killed_worker_is_replaced_and_only_its_shard_redone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = squares(tmp_path, "ray", TROUBLE)
    run(job, Engine("ray", workers=1))
    assert capsys.readouterr().err.splitlines()[-1].startswith("squares: 40/40, ")
    tried = Counter(rows for _, rows in calls(job))
    for shard, rows in zip(job.shards, whole_shards(job), strict=True):
        trouble = {TROUBLE.get(row["n"]) for row in shard} - {None}
        # Whole once more: after the kill, or when every row was found good alone.
        assert tried[rows] == (2 if trouble & {"kill once", "bad once"} else 1)
    assert len({process for process, _ in calls(job)}) == 2
    # And in this process, the same row is set aside for the same reason.
    run(squares(tmp_path, "inline", TROUBLE | {3: "none"}))
    assert digest(job.out) == digest(tmp_path / "inline")


def test_a_user_error_in_a_worker_is_its_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run(squares(tmp_path, trouble={3: "user"}), Engine("ray"))
    assert str(caught.value) == "the model for squares is not here: install it."
