"""Canny's edges: ours on torch against OpenCV's, in one run on one thread.

    pip install opencv-python-headless
    python benchmarks/canny.py [--size 512] [--repeats 9] [--json]

Before anything is timed, both must agree pixel for pixel on scenes and on noise of several grains,
at three pairs of thresholds. Times are CPU milliseconds a picture, medians of interleaved runs.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median

import cv2
import numpy as np
import torch

from overpaint.pairs.canny import canny
from overpaint.scenes.examples import sample_example

THRESHOLDS = ((100, 200), (20, 900), (0, 1))


def pictures(size: int, count: int) -> dict[str, list[np.ndarray]]:
    """Scenes, and noise in squares of 1 to 8 pixels; uint8 (size, size, 3)."""
    random = np.random.default_rng(0)
    noise = []
    for index in range(count):
        grain = (1, 2, 4, 8)[index % 4]
        coarse = random.integers(0, 256, (size // grain, size // grain, 3), dtype=np.uint8)
        noise.append(coarse.repeat(grain, axis=0).repeat(grain, axis=1))
    scenes = [sample_example(index, size=size).original for index in range(count)]
    return {"scenes": scenes, "noise": noise}


def assert_equal(found: dict[str, list[np.ndarray]]) -> int:
    """Both give the same edges of every picture; how many were compared."""
    compared = 0
    for kind, some in found.items():
        for picture in some:
            for low, high in THRESHOLDS:
                ours, theirs = canny(picture, low, high), cv2.Canny(picture, low, high)
                assert np.array_equal(ours, theirs), f"{kind} differ at {low}, {high}"
                compared += 1
    return compared


def measure(some: list[np.ndarray], repeats: int) -> dict[str, float]:
    """CPU milliseconds a picture of both, and their ratio."""
    ways = {"ours": canny, "opencv": cv2.Canny}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.process_time()
            for picture in some:
                way(picture, *THRESHOLDS[0])
            times[name].append(1e3 * (time.process_time() - began) / len(some))
    ours, theirs = median(times["ours"]), median(times["opencv"])
    return {"ours": round(ours, 2), "opencv": round(theirs, 2), "ratio": round(ours / theirs, 2)}


def main() -> None:
    """Compare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--pictures", type=int, default=4, help="of each kind, to time")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    report: dict[str, object] = {"equal": assert_equal(pictures(128, 100)), "size": options.size}
    for kind, some in pictures(options.size, options.pictures).items():
        report[kind] = measure(some, options.repeats)
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{report.pop('equal')} edge maps are equal; {options.size} px, CPU ms a picture")
    for kind in ("scenes", "noise"):
        print(kind, report[kind])


if __name__ == "__main__":
    main()
