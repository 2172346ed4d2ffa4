"""Kill a training with SIGKILL at random moments, rerun it, and compare the bytes.

    python benchmarks/kill_train.py --kills 20
    python benchmarks/kill_train.py --kills 20 --command "instruct finetune"

A tiny base and random data are made in a temporary folder. An uninterrupted run gives the
wanted model and the time that it takes. Then the same command is killed at moments drawn
uniformly from that time and started again, until it finishes; as often as it takes to reach
the wanted number of kills. Exit code 1 when a byte of the model or a line of the log differs.
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from overpaint.digests import digest
from overpaint.models import quiet_libraries
from overpaint.rows import Pair, pair_features
from overpaint.shards import write_card, write_shard

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from tiny import SENTENCES, build_tiny_pipeline
from tiny_language import CAPTIONS, build_tiny_language_model

TRAIN = {
    "resolution": 32,
    "steps": 24,
    "batch_size": 2,
    "gradient_accumulation_steps": 2,
    "gradient_checkpointing": "false",
    "ema_decay": 0.99,
    "checkpoint_every": 2,
    "validate_every": 8,
    "log_every": 5,
    "num_inference_steps": 2,
}
FINETUNE = {
    "finetune.max_steps": 24,
    "finetune.batch_size": 2,
    "finetune.lora_dropout": 0.1,
    "finetune.held_out": 4,
    "finetune.checkpoint_every": 2,
    "finetune.log_every": 2,
}


@dataclass(frozen=True)
class Case:
    """A command to kill."""

    words: tuple[str, ...]
    settings: dict[str, object]
    prepare: Callable[[Path], None]  # writes what the words name into a folder
    checkpoints: str  # as a pattern in the run's folder


def prepare_train(folder: Path) -> None:
    """A tiny pipeline and random pairs."""
    build_tiny_pipeline(folder / "base")
    write_pairs(folder / "data")


def prepare_finetune(folder: Path) -> None:
    """A tiny language model and triplets."""
    build_tiny_language_model(folder / "base")
    rows = (
        {"original_prompt": text, "edit_prompt": "add a hat", "edited_prompt": f"{text} with a hat"}
        for text in CAPTIONS
    )
    (folder / "data").mkdir()
    (folder / "data" / "triplets.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


CASES = {
    "train": Case(
        ("train", "--pairs", "data", "--model", "base"), TRAIN, prepare_train, "checkpoints/step-*"
    ),
    "instruct finetune": Case(
        ("instruct", "finetune", "--data", "data", "--model", "base"),
        FINETUNE,
        prepare_finetune,
        "checkpoint-*",
    ),
}


def write_pairs(folder: Path, count: int = 40) -> None:
    """Random pictures: what is learnt does not matter here."""
    draw = np.random.default_rng(0)
    rows = []
    for i in range(count):
        pictures = draw.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
        original, edited = map(Image.fromarray, pictures)
        pair = Pair(
            original_prompt="before",
            edit_prompt=SENTENCES[i % 5],
            edited_prompt="after",
            original_image=original,
            edited_image=edited,
        )
        rows.append(pair.to_row())
    write_shard(folder, 0, 1, rows, pair_features())
    write_card(folder, "random pairs", "for kill_train.py")


def start(case: Case, folder: Path, out: Path) -> subprocess.Popen[bytes]:
    """The command, into `out`."""
    words = [sys.executable, "-m", "overpaint", *case.words, "-o", str(out)]
    for key, value in case.settings.items():
        words += ["--set", f"{key}={value}"]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def result(out: Path) -> tuple[str, list[dict[str, float]]]:
    """The model's hash, and the log without its timings."""
    lines = (out.with_name(f"{out.name}.training") / "log.jsonl").read_text().splitlines()
    return digest(out), [
        {key: value for key, value in json.loads(line).items() if key != "samples_per_second"}
        for line in lines
    ]


def phase(case: Case, out: Path) -> str:
    """How far a run had come when it was killed."""
    work = out.with_name(f"{out.name}.training")
    if out.exists():
        return "after the model was written"
    if any(work.glob(case.checkpoints)):
        return "while training, after a checkpoint"
    if (work / "origin.json").exists():
        return "while training, before a checkpoint"
    return "while encoding" if work.exists() else "before anything was written"


def main() -> int:
    """Run it; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", choices=CASES, default="train")
    arguments = parser.parse_args()
    draw, case = random.Random(arguments.seed), CASES[arguments.command]
    with tempfile.TemporaryDirectory(prefix="kill-train-") as name:
        folder = Path(name)
        with quiet_libraries():
            case.prepare(folder)
        began = time.perf_counter()
        errors = start(case, folder, folder / "whole/model").communicate()[1]
        seconds = time.perf_counter() - began
        if not (folder / "whole/model").is_dir():
            raise SystemExit(errors.decode())
        wanted = result(folder / "whole/model")
        report = compare(case, folder, wanted, arguments.kills, seconds, draw)
    print(json.dumps({"seconds_uninterrupted": round(seconds, 1), **report}, indent=1))
    return int(report["runs_that_differ"] > 0)


def compare(
    case: Case,
    folder: Path,
    wanted: tuple[str, list],
    kills: int,
    seconds: float,
    draw: random.Random,
) -> dict:
    """Kill and rerun until `kills` are reached and the last run has finished."""
    phases: Counter[str] = Counter()
    runs = differ = 0
    while phases.total() < kills:
        out = folder / "killed/model"  # the same name: it stands in the model's card
        while True:
            began, fresh = time.perf_counter(), not out.parent.exists()
            process = start(case, folder, out)
            try:
                may_kill = phases.total() < kills and not out.exists()
                process.communicate(timeout=draw.uniform(0, seconds) if may_kill else None)
                if fresh:  # so that kills keep hitting when the machine gets quicker
                    seconds = min(seconds, time.perf_counter() - began)
                break  # it finished by itself
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                phases[phase(case, out)] += 1
                print(f"kill {phases.total()}: {phase(case, out)}", file=sys.stderr, flush=True)
        if process.returncode:
            raise SystemExit(f"the rerun failed with exit code {process.returncode}")
        runs, differ = runs + 1, differ + (result(out) != wanted)
        shutil.rmtree(out.parent)
    return {
        "kills": phases.total(),
        "finished_runs": runs,
        "runs_that_differ": differ,
        "killed": dict(phases),
    }


if __name__ == "__main__":
    sys.exit(main())
