"""Kill `overpaint pairs` with SIGKILL at random moments, rerun it, compare the bytes.

    python benchmarks/kill_pairs.py --kills 10
    python benchmarks/kill_pairs.py --kills 10 --method prompt-to-prompt

Tiny models of random weights draw pairs for 24 triplets in eight shards. An uninterrupted run gives
the wanted bytes and the time that it takes; then the same command is killed at moments drawn
uniformly from that time and started again, until it finishes, as often as it takes. Exit code 1
when a byte of the shards or tallies differs, or when a shard that was there was written again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from killing import kill, run_whole

from overpaint.models import quiet_libraries

TESTS = Path(__file__).resolve().parent.parent / "tests"
TRIPLETS = 24
METHODS = {"controlnet": (), "prompt-to-prompt": ("--set", "candidates=4", "--set", "keep=2")}


def main() -> int:
    """Run it; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", choices=METHODS, default="controlnet")
    options = parser.parse_args()
    sys.path[:0] = [str(TESTS), str(TESTS / "pairs"), str(TESTS / "evaluation")]
    from tiny_world import build_tiny_world, words, write_triplets

    with tempfile.TemporaryDirectory(prefix="kill-pairs-") as name:
        folder = Path(name)
        with quiet_libraries():
            model = build_tiny_world(folder / "model")
        triplets = write_triplets(folder / "triplets.jsonl", TRIPLETS)

        def start(out: Path) -> subprocess.Popen[bytes]:
            more = ("--method", options.method, *METHODS[options.method])
            command = [sys.executable, "-m", "overpaint", *words(triplets, model, out, *more)]
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        seconds = run_whole(start, folder / "whole")
        draw = random.Random(options.seed)
        report = kill(start, folder / "whole", seconds, options.kills, draw)
    print(json.dumps({"seconds_uninterrupted": round(seconds, 1), **report}, indent=1))
    return int(report["runs_that_differ"] != 0 or report["shards_written_twice"] != 0)


if __name__ == "__main__":
    sys.exit(main())
