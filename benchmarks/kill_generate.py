"""Kill `overpaint instruct generate` with SIGKILL at random moments, rerun it, compare the bytes.

    python benchmarks/kill_generate.py --kills 10

A tiny language model of random weights writes triplets for 24 captions in eight shards. An
uninterrupted run gives the wanted bytes and the time that it takes; then the same command is killed
at moments drawn uniformly from that time and started again, until it finishes, as often as it takes.
Exit code 1 when a byte of the result differs, or when a shard that was there was written again.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from overpaint.files import content_hash
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


def shards(out: Path) -> dict[str, int]:
    """When each shard was written."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("data/train-*.parquet")}


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
        began = time.perf_counter()
        errors = start(folder, folder / "whole").communicate()[1]
        seconds = time.perf_counter() - began
        if not (folder / "whole" / "summary.json").is_file():
            raise SystemExit(errors.decode())
        report = kill(folder, options.kills, seconds, draw)
    print(json.dumps({"seconds_uninterrupted": round(seconds, 1), **report}, indent=1))
    return int(report["runs_that_differ"] > 0 or report["shards_written_twice"] > 0)


def kill(folder: Path, kills: int, seconds: float, draw: random.Random) -> dict[str, object]:
    """Kill and rerun until `kills` are reached and the last run has finished."""
    wanted, out = content_hash(folder / "whole"), folder / "killed"
    done = differ = twice = 0
    finished: list[int] = []
    while done < kills:
        while True:
            before = shards(out)
            process = start(folder, out)
            try:
                process.communicate(timeout=draw.uniform(0, seconds) if done < kills else None)
                ended = True
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
            raise SystemExit(f"the rerun failed with exit code {process.returncode}")
        differ += content_hash(out) != wanted
        shutil.rmtree(out)
    return {
        "kills": done,
        "shards_at_each_kill": finished,
        "runs_that_differ": differ,
        "shards_written_twice": twice,
    }


if __name__ == "__main__":
    sys.exit(main())
