"""What the benchmarks share that kill a command with SIGKILL and start it again."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from overpaint.digests import digest

Start = Callable[[Path], "subprocess.Popen[bytes]"]
"""starts the command into an output folder"""


def run_whole(start: Start, out: Path) -> float:
    """An uninterrupted run; the seconds that it took."""
    began = time.perf_counter()
    errors = start(out).communicate()[1]
    if not (out / "summary.json").is_file():
        raise SystemExit(errors.decode())
    return time.perf_counter() - began


def kill(
    start: Start, whole: Path, seconds: float, kills: int, draw: random.Random
) -> dict[str, object]:
    """Kill and rerun until `kills` are reached and the last run has finished.

    `whole` is what an uninterrupted run wrote in `seconds`; its shards and tallies are compared.
    """
    out = whole.with_name("killed")
    done = differ = twice = 0
    finished: list[int] = []
    while done < kills:
        while True:
            before = shards(out)
            process = start(out)
            try:
                wait = draw.uniform(0, seconds) if done < kills else None
                errors, ended = process.communicate(timeout=wait)[1], True
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                ended, done = False, done + 1
                finished.append(len(shards(out)))
                print(f"kill {done}: {finished[-1]} shards", file=sys.stderr, flush=True)
            now = shards(out)
            twice += sum(now.get(name) != at for name, at in before.items())
            if ended:
                break
        if process.returncode:
            raise SystemExit(f"the rerun failed: {errors.decode()}")
        differ += any(digest(out / name) != digest(whole / name) for name in ("data", "tallies"))
        shutil.rmtree(out)
    return {
        "kills": done,
        "shards_at_each_kill": finished,
        "runs_that_differ": differ,
        "shards_written_twice": twice,
    }


def shards(out: Path) -> dict[str, int]:
    """When each shard was written."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("data/train-*.parquet")}
