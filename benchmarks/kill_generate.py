"""Kill `overpaint instruct generate` with SIGKILL at random moments, rerun it, compare the bytes.

    python benchmarks/kill_generate.py --kills 10

A tiny language model of random weights writes triplets for 24 captions in eight shards. An
uninterrupted run gives the wanted bytes and the time that it takes; then the same command is killed
at moments drawn uniformly from that time and started again, until it finishes, as often as it takes.
Exit code 1 when a byte of the shards or tallies differs, or when a shard that was there was written again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from killing import kill, run_whole

from overpaint.models import quiet_libraries

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from tiny_language import CAPTIONS, build_tiny_language_model

SETTINGS = {
    "format": "kinds",
    "generate.captions_per_shard": 3,
    "generate.max_instruction": 12,
    "generate.max_caption": 16,
    "generate.max_new_tokens": 40,
    "generate.temperature": 1.0,
    "generate.need_reflection": "false",  # random weights reflect nothing
    "generate.attempts": 2,
    "generate.batch_size": 4,
}


def start(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    """`overpaint instruct generate` into `out`."""
    words = [sys.executable, "-m", "overpaint", "instruct", "generate"]
    words += ["--captions", str(folder / "captions.txt"), "--model", str(folder / "model")]
    words += ["-o", str(out), "--per-caption", "8"]
    for key, value in SETTINGS.items():
        words += ["--set", f"{key}={value}"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def main() -> int:
    """Run it; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="kill-generate-") as name:
        folder = Path(name)
        with quiet_libraries():
            build_tiny_language_model(folder / "model")
        (folder / "captions.txt").write_text("\n".join(CAPTIONS) + "\n")
        seconds = run_whole(partial(start, folder), folder / "whole")
        report = kill(partial(start, folder), folder / "whole", seconds, options.kills, draw)
    print(json.dumps({"seconds_uninterrupted": round(seconds, 1), **report}, indent=1))
    return int(report["runs_that_differ"] != 0 or report["shards_written_twice"] != 0)


if __name__ == "__main__":
    sys.exit(main())
