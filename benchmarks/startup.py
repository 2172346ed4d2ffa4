"""How long a user waits: `overpaint --help`, a first edit from the shell, an edit in Python.

    python benchmarks/startup.py [--model nano] [--steps 20] [--json]

Help is the least of ten runs and the cold edit the least of three (both whole processes, from
start to exit, the second with the picture written); the warm edit is the least of three with the
model loaded and one edit done. All are wall seconds on this machine as busy as it is: the load
average is reported beside them. Beside other work, OpenMP threads that spin while they wait cost
the warm edit most; `overpaint edit` turns that off, in Python OMP_WAIT_POLICY=PASSIVE does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

INSTRUCTION = "make it a line drawing"
TARGETS = {"help": 0.3, "cold_edit": 8.0, "warm_edit": 1.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        picture = write_scene(Path(folder) / "scene.png")
        command = [
            *("edit", str(picture), INSTRUCTION, "-o", str(Path(folder) / "out.png")),
            *("--model", args.model, "--steps", str(args.steps), "--device", args.device),
        ]
        seconds = {
            "help": least(10, lambda: overpaint("--help")),
            "cold_edit": least(3, lambda: overpaint(*command)),
            "warm_edit": warm_edit(picture, args.model, args.steps, args.device),
        }
    load, waiting = os.getloadavg()[0], os.environ.get("OMP_WAIT_POLICY", "default")
    if args.json:
        machine = {"load_average": load, "cores": os.cpu_count(), "omp_wait_policy": waiting}
        print(json.dumps({**vars(args), "seconds": seconds, "targets": TARGETS, **machine}))
        return
    print(
        f"{args.model}, {args.steps} steps, {args.device}; load {load:.1f} on {os.cpu_count()} "
        f"cores, OMP_WAIT_POLICY {waiting}: least wall seconds (target)"
    )
    for name, value in seconds.items():
        print(f"  {name:10} {value:6.2f}  ({TARGETS[name]:g})")


def write_scene(path: Path) -> Path:
    """Save a picture of the scenes world, so that the benchmark needs no file."""
    from PIL import Image

    from overpaint.scenes.examples import sample_example

    Image.fromarray(sample_example(0).original).save(path)
    return path


def overpaint(*words: str) -> None:
    """Run the command in a process of its own, as a shell does."""
    done = subprocess.run([sys.executable, "-m", "overpaint", *words], capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.decode())


def warm_edit(picture: Path, model: str, steps: int, device: str) -> float:
    from overpaint import Editor, UserError

    try:
        editor = Editor.from_pretrained(model, device=device)
    except UserError as error:
        sys.exit(f"overpaint: {error}")
    editor.edit(picture, INSTRUCTION, num_inference_steps=steps)
    return least(3, lambda: editor.edit(picture, INSTRUCTION, num_inference_steps=steps))


def least(times: int, act: Callable[[], object]) -> float:
    """The least wall seconds of several runs: what the machine can do when it is not disturbed."""
    return round(min(timed(act) for _ in range(times)), 3)


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
