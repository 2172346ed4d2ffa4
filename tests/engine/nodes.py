"""Two nodes of a Ray cluster on this machine, and a program that works on them.

python nodes.py OUT MARKS ENGINE WORKERS     forty squares; each worker notes in MARKS where it is
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from overpaint.artifact import Artifact
from overpaint.engine import Done, Engine, Job, Made, Row, run
from overpaint.engine.reaper import marked
from overpaint.errors import UserError

NODE = "OVERPAINT_TEST_NODE"  # in the environment of every process of a node: its mark


@dataclass(frozen=True)
class Square:
    """Squares `n`, slowly, and notes on which node and in which folder it does."""

    marks: Path

    def __call__(self, rows: Sequence[Row], done: Done) -> Made:
        while (self.marks / "together").exists() and not (self.marks / "two.open").exists():
            time.sleep(0.05)  # else one node may have done all before the other is there
        where = f"{_name()} {os.getpid()} {Path.cwd()}\n"
        with (self.marks / "notes").open("a") as stream:  # appending a short line is atomic
            stream.write(where)
        for _ in rows:
            time.sleep(0.1)
            done(1)
        return Made([{"n": row["n"], "square": row["n"] ** 2} for row in rows], {"seen": len(rows)})


def open_square(marks: Path) -> Square:
    """A stage whose model the second node may lack."""
    if (marks / "lacking").exists() and _name() == "two":
        raise UserError("there is no model 'weights': give a folder.")
    (marks / f"{_name()}.open").touch()
    return Square(marks)


def _name() -> str:
    """Of the node that this process is on."""
    return os.environ.get(NODE, "none").partition("-")[0]


def squares(out: Path, marks: Path) -> Job:
    """Forty numbers in ten shards."""
    from datasets import Features, Value

    rows = [{"n": n} for n in range(40)]
    return Job(
        out=out,
        title="squares",
        shards=[rows[i : i + 4] for i in range(0, 40, 4)],
        open_stage=partial(open_square, marks),
        features=Features({"n": Value("int64"), "square": Value("int64")}),
    )


@dataclass
class Cluster:
    """Two nodes; `environment` is what a program needs to join them."""

    environment: dict[str, str]
    nodes: dict[str, str]
    """the mark of each in its processes' environment"""

    def kill(self, name: str) -> None:
        """End all processes of a node at once, as when its machine loses power."""
        for process, _ in marked(f"{NODE}={self.nodes[name]}".encode()):
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)


@contextmanager
def two_nodes(folder: Path, more: Sequence[str] = ()) -> Iterator[Cluster]:
    """Start nodes `one` and `two` by `ray start`, each with an address, folder and CPUs of its own.

    Both are on loopback (127.0.0.2 and 127.0.0.3), and only who has the token may join. `more`
    are words for both.
    """
    head = f"127.0.0.2:{free_port()}"
    nodes = {name: f"{name}-{secrets.token_hex(8)}" for name in ("one", "two")}
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        "RAY_ADDRESS": head,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }
    cluster = Cluster(environment, nodes)
    with ExitStack() as stack:
        stack.callback(cluster.kill, "one")
        stack.callback(cluster.kill, "two")
        for place, (name, mark) in enumerate(nodes.items()):
            own = folder / name
            own.mkdir()
            joined = ["--address", head] if place else ["--head", "--port", head.split(":")[1]]
            words = ["--node-ip-address", f"127.0.0.{2 + place}", "--temp-dir", str(own)]
            words += ["--num-cpus=2", f"--object-store-memory={80 << 20}", *more]
            subprocess.run(
                [Path(sys.executable).with_name("ray"), "start", *joined, *words],
                cwd=own,
                env={**environment, NODE: mark},
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=240,
            )
        yield cluster


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        port: int = probe.getsockname()[1]
        return port


def main(out: str, marks: str, engine: Any, workers: str) -> None:
    """Make the squares."""
    job = squares(Path(out), Path(marks))
    with Artifact(job.out, {"numbers": 40}).being_made():
        run(job, Engine(engine, int(workers)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
