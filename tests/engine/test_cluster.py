"""A cluster of two nodes that were started by `ray start` and are joined by address."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import nodes
import pytest
from nodes import Cluster, two_nodes

from overpaint.digests import digest
from overpaint.engine import Engine
from overpaint.engine.on_ray import needs
from overpaint.errors import UserError

slow = pytest.mark.slow
linux = pytest.mark.skipif(sys.platform != "linux", reason="takes 127.0.0.2 and looks in /proc")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = tempfile.mkdtemp(prefix="op-")  # short: Ray's sockets lie below it
    try:
        with two_nodes(Path(folder)) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start(cluster: Cluster, folder: Path, marks: Path) -> subprocess.Popen[str]:
    """Begin a run on the cluster from `folder`, with its output in `out` below it."""
    words = ["out", str(marks), "ray", "2"]
    return subprocess.Popen(
        [sys.executable, nodes.__file__, *words],
        cwd=folder,
        env=cluster.environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def inline(folder: Path) -> str:
    """The digest of what this process makes."""
    (folder / "inline-marks").mkdir()
    nodes.main(str(folder / "inline"), str(folder / "inline-marks"), "local", "1")
    return digest(folder / "inline")


def where(marks: Path) -> Counter[str]:
    """How many shards each node was asked for."""
    notes = marks / "notes"
    return Counter(line.split()[0] for line in notes.read_text().splitlines() if notes.exists())


@slow
@linux
def test_two_nodes_make_the_bytes_of_one_process_also_when_one_dies(
    cluster: Cluster, tmp_path: Path
) -> None:
    wanted = inline(tmp_path)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        (folder / "marks").mkdir(parents=True)
        (folder / "marks" / "together").touch()

    driver = start(cluster, whole, whole / "marks")
    _, said = driver.communicate(timeout=240)
    assert driver.returncode == 0, said
    assert digest(whole / "out") == wanted
    assert set(where(whole / "marks")) == {"one", "two"}

    (broken / "marks" / "lacking").touch()
    lacking = start(cluster, broken, broken / "marks")
    _, said = lacking.communicate(timeout=240)
    last = said.strip().splitlines()[-1]
    assert lacking.returncode == 1
    assert last.startswith("error: on the node 127.0.0.")
    assert "there is no model 'weights'" in last
    assert "same path on every node" in last
    (broken / "marks" / "lacking").unlink()
    shutil.rmtree(broken / "out")

    driver = start(cluster, broken, broken / "marks")
    until_two_works(driver, broken / "marks")
    cluster.kill("two")
    _, said = driver.communicate(timeout=240)
    assert driver.returncode == 0, said  # node one makes what node two had begun
    assert digest(broken / "out") == wanted


def until_two_works(driver: subprocess.Popen[str], marks: Path) -> None:
    """Wait until the second node has begun with a shard."""
    while not (marks / "notes").exists() or "two" not in where(marks):
        assert driver.poll() is None
        time.sleep(0.05)


NODES = {"small": {"CPU": 1.0}, "plain": {"CPU": 8.0}, "gpu": {"CPU": 8.0, "GPU": 2.0}}


@pytest.mark.parametrize(
    ("have", "engine", "share"),
    [
        (["plain"], Engine("ray", 4, gpus_per_worker=0.5), 0),
        (["plain"], Engine("ray", 4), 0),
        (["plain", "gpu"], Engine("ray", 4, gpus_per_worker=0.25), 0.25),
        (["gpu", "gpu"], Engine("ray", 4, gpus_per_worker=2), 2),
        (["gpu", "gpu"], Engine("ray", 4), 1),
        (["gpu"], Engine("ray", 4), 0.5),
    ],
)
def test_a_worker_takes_the_share_of_a_gpu_that_is_asked_for_or_an_equal_one(
    have: list[str], engine: Engine, share: float
) -> None:
    assert needs(ray_of(have), False, engine) == {"num_cpus": 2, "num_gpus": share}


@pytest.mark.parametrize(
    ("have", "engine", "words"),
    [
        (["small", "small"], Engine("ray"), "no node of the Ray cluster has 2 processors"),
        (["gpu", "gpu"], Engine("ray", gpus_per_worker=4), "more than any node"),
    ],
)
def test_what_no_node_has_is_refused_and_not_waited_for(
    have: list[str], engine: Engine, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        needs(ray_of(have), False, engine)


def ray_of(names: list[str]) -> SimpleNamespace:
    dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
    alive = [{"Alive": True, "Resources": NODES[name]} for name in names]
    return SimpleNamespace(nodes=lambda: [*alive, dead])
