"""Kill `overpaint run` with SIGKILL in every stage, rerun it, and compare triplets and pairs.

    python benchmarks/kill_run.py --kills 10
    python benchmarks/kill_run.py --kills 10 --recipe recipes/nano.yaml --set instruct.scenes=40 -o runs/kill

Without `--recipe` it is a recipe of tiny models in a temporary folder. An uninterrupted run gives the
wanted bytes and the time of each stage. Then the same recipe runs into another folder; every stage
gets its share of the kills, each at a moment drawn uniformly from the time of its stage, and after each
the same command is started again; a run that ends before its kill is compared, and begun anew. Exit
code 1 when a byte of the triplets or pairs differs, or a run ends without a report.
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
from collections import Counter
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from overpaint.digests import digest
from overpaint.recipe import STAGES

TESTS = Path(__file__).resolve().parent.parent / "tests"
COMPARED = ("triplets", "pairs")
SOON = 0.2  # seconds between two looks at a process


class Run:
    """`overpaint run` in a process; `stage` is the one that it said to have begun last."""

    def __init__(self, recipe: Path, out: Path, settings: list[str]) -> None:
        words = [sys.executable, "-m", "overpaint", "run", str(recipe), "-o", str(out), "--json"]
        words += [word for setting in settings for word in ("--set", setting)]
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.stage = ""
        self.said: list[str] = []
        self.began: Queue[str] = Queue()
        self.reader = Thread(target=self._listen, daemon=True)
        self.reader.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            name = line.partition(": ")[0]
            if name in STAGES and name != self.stage:
                self.stage = name
                self.began.put(name)

    def wait_for(self, stage: str) -> bool:
        """Until that stage has begun; False where the run ended without it."""
        while self.process.poll() is None:
            try:
                if self.began.get(timeout=SOON) == stage:
                    return True
            except Empty:
                continue
        return False

    def finish(self) -> dict[str, object]:
        """Wait for its end; the object that it printed."""
        assert self.process.stdout is not None
        printed = self.process.stdout.read()
        if self.process.wait():
            self.reader.join()
            raise SystemExit("".join(self.said[-20:]))
        return dict(json.loads(printed))

    def kill(self, after: float) -> str | None:
        """SIGKILL after so many seconds; the stage that was hit, None where the run ended before."""
        try:
            self.process.wait(after)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            return self.stage
        return None


def main() -> int:
    """Run it; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("-o", "--output", type=Path, help="keep both runs there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-run-") as name:
        folder = options.output or Path(name)
        recipe = options.recipe or tiny_recipe(folder / "world")
        began = time.perf_counter()
        seconds = Run(recipe, folder / "whole", options.settings).finish()["seconds"]
        report = {"seconds_uninterrupted": round(time.perf_counter() - began, 1)}
        shutil.rmtree(folder / "killed", ignore_errors=True)
        report |= kill(recipe, folder, options, dict(seconds))  # type: ignore[call-overload]
    print(json.dumps(report, indent=1))
    return int(bool(report["differ"]))


def tiny_recipe(folder: Path) -> Path:
    """Models of random weights, and a recipe of them."""
    sys.path[:0] = [str(TESTS), str(TESTS / "runs"), str(TESTS / "evaluation")]
    from world import build_world

    return build_world(folder, captions=24)


def kill(
    recipe: Path, folder: Path, options: argparse.Namespace, seconds: dict[str, float]
) -> dict[str, object]:
    """Kill and rerun until every stage was hit as often as is its share; compare finished runs."""
    draw = random.Random(options.seed)
    share = Counter(STAGES[i % len(STAGES)] for i in range(options.kills))
    hits: Counter[str] = Counter()
    differ: list[str] = []
    killed, finished = folder / "killed", 0
    while any(hits[stage] < share[stage] for stage in STAGES):
        wanted = next(stage for stage in STAGES if hits[stage] < share[stage])
        run = Run(recipe, killed, options.settings)
        hit = run.kill(draw.uniform(0, seconds[wanted])) if run.wait_for(wanted) else None
        if hit is not None:
            hits[hit] += 1
            print(f"kill {hits.total()}: {hit}", file=sys.stderr, flush=True)
            continue
        # It ended before: what took so long at first takes less now, so kill sooner.
        seconds[wanted] /= 2
        finished, differ = finished + 1, differ + compare(run, folder)
        shutil.rmtree(killed)
    differ += compare(Run(recipe, killed, options.settings), folder)
    return {
        "seconds_by_stage": seconds,
        "killed": dict(hits),
        "finished_runs": finished + 1,
        "differ": differ,
    }


def compare(run: Run, folder: Path) -> list[str]:
    """What differs from the uninterrupted run when this one has ended, or is missing."""
    report = run.finish()["report"]
    differ = [
        name
        for name in COMPARED
        if digest(folder / "killed" / name / "data") != digest(folder / "whole" / name / "data")
    ]
    return differ if report else [*differ, "no report"]


if __name__ == "__main__":
    sys.exit(main())
