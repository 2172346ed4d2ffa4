"""The same pairs in one process and on Ray, some of whose workers are killed: compare the bytes.

    python benchmarks/kill_worker.py --rows 200 --kills 2

Tiny models of random weights draw pairs for so many triplets: in this process' way, with one Ray
worker and with two, of which one is ended with SIGKILL in the middle of its shard, so often.
Exit code 1 when a byte of the shards or tallies differs, or no worker could be killed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from overpaint.digests import digest
from overpaint.models import quiet_libraries

TESTS = Path(__file__).resolve().parent.parent / "tests"


def main() -> int:
    """Run it; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--kills", type=int, default=2)
    options = parser.parse_args()
    sys.path[:0] = [str(TESTS), str(TESTS / "pairs"), str(TESTS / "evaluation")]
    from tiny_world import build_tiny_world, words, write_triplets

    report: dict[str, object] = {"rows": options.rows}
    hashes = set()
    with tempfile.TemporaryDirectory(prefix="kill-worker-") as name:
        folder = Path(name)
        with quiet_libraries():
            model = build_tiny_world(folder / "model")
        triplets = write_triplets(folder / "triplets.jsonl", options.rows)
        ray = ("--engine", "ray", "--workers")
        for label, more, kills in (
            ("inline", (), 0),
            ("one worker", (*ray, "1"), 0),
            ("two workers", (*ray, "2"), options.kills),
        ):
            out = folder / label.replace(" ", "-")
            more = ("--set", f"rows_per_shard={max(1, options.rows // 10)}", *more)
            command = [sys.executable, "-m", "overpaint", *words(triplets, model, out, *more)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            killed = _kill_workers(process, out, kills)
            if process.wait():
                return 1
            hashes.add(digest(out / "data") + digest(out / "tallies"))
            report[label] = {"shards": len(list(out.glob("data/train-*"))), "killed": killed}
    report["same_bytes"] = len(hashes) == 1
    print(json.dumps(report, indent=1))
    return int(not report["same_bytes"] or killed != options.kills)


def _kill_workers(process: subprocess.Popen[bytes], out: Path, kills: int) -> int:
    """Kill a worker at work each time that two more shards are there."""
    killed = 0
    while process.poll() is None and killed < kills:
        time.sleep(0.05)
        if len(list(out.glob("data/train-*"))) < 2 * (killed + 1):
            continue
        for child in psutil.Process(process.pid).children(recursive=True):
            if child.name().startswith("ray::_Actor"):
                child.kill()
                killed += 1
                break
    return killed


if __name__ == "__main__":
    sys.exit(main())
