"""The same job on Ray: the same bytes, whatever becomes of the workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from squares import Threads, calls, in_shards_of, squares, whole_shards
from tiny_world import build_tiny_world, write_triplets

from overpaint.digests import digest
from overpaint.engine import Engine, run
from overpaint.engine.cluster import connected
from overpaint.engine.reaper import Process, processes
from overpaint.engine.threads import THREADS
from overpaint.errors import UserError
from overpaint.pairs.settings import PairsSettings, Thresholds
from overpaint.pairs.stage import make_pairs

pytestmark = pytest.mark.slow

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


def test_a_real_stage_makes_the_same_bytes_on_ray(tmp_path: Path) -> None:
    """Pictures drawn by tiny models, which differ with the number of threads, say."""
    model = str(build_tiny_world(tmp_path / "model"))
    triplets = write_triplets(tmp_path / "triplets.jsonl", 6)
    settings = PairsSettings(
        model=model,
        clip=model,
        controlnet=model,
        num_inference_steps=2,
        controlnet_conditioning_scales=(0.5,),
        rows_per_shard=2,
        thresholds=Thresholds(
            clip_original=None, clip_edited=None, clip_image=None, clip_direction=None
        ),
    )
    torch.set_num_threads(THREADS + 1)
    for name, engine in (("inline", Engine()), ("ray", Engine("ray", workers=2))):
        make_pairs(triplets, tmp_path / name, settings, engine, device="cpu")
    torch.set_num_threads(THREADS)
    assert digest(tmp_path / "inline/data") == digest(tmp_path / "ray/data")
    assert sum(pq.read_metadata(p).num_rows for p in tmp_path.glob("ray/data/*")) == 6


def test_a_worker_computes_with_the_number_of_threads_of_this_process(tmp_path: Path) -> None:
    job = squares(tmp_path, open_stage=Threads)
    run(job, Engine("ray"))
    rows = [row for path in job.out.glob("data/*") for row in pq.read_table(path).to_pylist()]
    assert {row["n"] for row in rows} == {THREADS}


def test_a_fault_that_begins_in_mid_run_stops_the_workers_too(tmp_path: Path) -> None:
    whole = squares(tmp_path, "whole", shards=in_shards_of(4, {}))
    run(whole)
    job = squares(tmp_path, shards=in_shards_of(4, {22: "breaks"}))
    with pytest.raises(UserError, match="every one fails, also what was made before"):
        run(job, Engine("ray", workers=2))
    (tmp_path / "broken").unlink()
    run(job, Engine("ray", workers=2))
    assert digest(job.out) == digest(whole.out)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for processes in /proc")
def test_a_killed_run_leaves_no_process_behind(tmp_path: Path) -> None:
    """Ray's own agents would look for the others for a minute."""
    program = [sys.executable, str(Path(__file__).with_name("squares.py")), str(tmp_path), "ray"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    driver = subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL)
    while not (tmp_path / "17.mark").exists():
        assert driver.poll() is None
        time.sleep(0.05)
    started = below(driver.pid)
    assert len(started) >= 5
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    for _ in range(500):  # less than the minute that Ray's agents would take
        left = started & {process for process, _ in processes() if not is_zombie(process)}
        if not left:
            break
        time.sleep(0.1)
    assert not left


def below(number: int) -> set[Process]:
    """All processes that one started, and those that they started."""
    found: set[Process] = set()
    numbers = {number}
    while True:
        more = {process for process, parent in processes() if parent in numbers} - found
        if not more:
            return found
        found |= more
        numbers = {process[0] for process in more}


def is_zombie(process: Process) -> bool:
    try:
        status = Path(f"/proc/{process[0]}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"
