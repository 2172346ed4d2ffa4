"""Digests of what every stage makes, to show that a restructuring changed no output.

    python benchmarks/golden.py before.json              # on the commit before, and then, on the one after:
    python benchmarks/golden.py after.json --against before.json

Everything goes through the command line, so the script outlives any change of the Python names. Digests hold
for one machine and one number of threads. Pictures count by their pixels, rows of shards by their values, models
by their tensors, reports by their figures: metadata and layout of files may change, what they hold may not.
Exit code 1 when something differs, with its name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from PIL import Image
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
HOUSE, CAT = str(EXAMPLES / "house.png"), str(EXAMPLES / "cat-and-tree.png")
EDITS: dict[str, list[str]] = {
    "one": [HOUSE, "make it night"],
    "in turn": [CAT, "remove the tree", "make it night"],
    "each, several seeds": [CAT, "remove the tree", "make it night", "--each", "--num", "3"],
    "one branch": [HOUSE, "add a cat", "--guidance-scale", "1", "--image-guidance-scale", "1"],
    "three branches": [
        HOUSE,
        "add a cat",
        "--guidance-scale",
        "3",
        "--image-guidance-scale",
        "1.5",
    ],
    "no text": [HOUSE, "add a cat", "--guidance-scale", "0", "--image-guidance-scale", "1.5"],
    "sweep": [
        *(HOUSE, "make the background pink", "--sweep", "--singles"),
        *("--guidance-scale", "2,4", "--image-guidance-scale", "1,1.5", "--steps", "5"),
    ],
    "many pictures": [HOUSE, CAT, "-i", "make it night", "--steps", "7", "--seed", "11"],
    "another size": [HOUSE, "make it night", "--resolution", "96", "--steps", "5"],
    "bfloat16": [HOUSE, "make it night", "--dtype", "bfloat16", "--steps", "5"],
}
TRAIN = """\
seed: 5
train:
  model: nano-text-to-image
  resolution: 64
  random_flip: true
  steps: 6
  batch_size: 8
  gradient_accumulation_steps: 2
  gradient_checkpointing: false
  learning_rate: 5.0e-4
  lr_schedule: cosine
  warmup_steps: 2
  ema_decay: 0.9
  mixed_precision: bf16
  encode_batch_size: 16
  validation_pairs: 4
  checkpoint_every: 3
  log_every: 1
  num_inference_steps: 4
  guidance_scale: 4.0
  image_guidance_scale: 1.5
"""
PAIRS = """\
pairs:
  resolution: 64
  num_inference_steps: 5
  guidance_scale: 2.0
  thresholds: {clip_original: 0.5, clip_edited: 0.4, clip_image: 0.2, clip_direction: 0.1}
  rows_per_shard: 4
  batch_size: 6
"""
CONTROLNET = "  controlnet: nano\n  controlnet_conditioning_scales: [0.2, 0.8]\n"
TRIPLETS = [
    ("a cat beside a tree", "turn the cat into a dog", "a dog beside a tree"),
    ("a house", "make it night", "a house at night"),
    ("a rocket and a star", "remove the star", "a rocket"),
    ("a dog and a balloon", "make the background pink", "a dog and a balloon on a pink background"),
    ("a car", "add a tree", "a car and a tree"),
]
# What a report says of its making and not of its finding.
PASSING = {"seconds", "command", "report", "page", "output", "work", "versions", "made", "path"}


def overpaint(*words: object) -> str:
    """Run a command; its stdout. Raises: SystemExit: it failed, with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "overpaint", *map(str, words)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def picture(path: Path) -> str:
    """Digest of the pixels."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return sha(repr(pixels.shape).encode() + pixels.tobytes())


def is_sheet(file: Path) -> bool:
    """Whether a picture is the contact sheet of those beside it, whose layout may change."""
    return any(file.parent.glob(f"{file.stem}-*{file.suffix}"))


def rows(folder: Path) -> str:
    """Digest of the values of all rows of a folder of shards."""
    found = hashlib.sha256()
    for file in sorted((folder / "data").glob("*.parquet")):
        for row in parquet.read_table(file).to_pylist():
            found.update(repr(sorted(row.items())).encode())
    return found.hexdigest()[:16]


def tensors(folder: Path) -> str:
    """Digest of the names and values of all weights under a folder."""
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*.safetensors")):
        for name, value in sorted(load_file(file).items()):
            found.update(f"{file.relative_to(folder)} {name} {value.shape}".encode())
            found.update(value.tobytes())
    return found.hexdigest()[:16]


def figures(value: Any) -> Any:
    """Numbers and words of a report, without what is of its making."""
    if isinstance(value, dict):
        return {key: figures(found) for key, found in value.items() if key not in PASSING}
    if isinstance(value, list):
        return [figures(found) for found in value]
    return value


def edits(work: Path) -> Iterator[tuple[str, Any]]:
    for name, words in EDITS.items():
        out = work / "edits" / f"{name.replace(' ', '-').replace(',', '')}"
        out.mkdir(parents=True)
        overpaint("edit", *words, "-o", out)
        files = [file for file in out.rglob("*.png") if not is_sheet(file)]
        yield f"edit: {name}", sorted(picture(file) for file in files)


def scenes(work: Path) -> Iterator[tuple[str, Any]]:
    for version, world, split in (
        (1, "small", "train"),
        (1, "full", "novel"),
        (2, "small", "heldout"),
    ):
        out = work / f"scenes-{version}-{split}"
        overpaint(
            *("scenes", "-n", 48, "-o", out, "--seed", 7),
            *("--world", world, "--split", split, "--world-version", version),
        )
        yield f"scenes: version {version}, {world}, {split}", rows(out)


def training(work: Path) -> Iterator[tuple[str, Any]]:
    recipe = work / "train.yaml"
    recipe.write_text(TRAIN)
    out = work / "model"
    overpaint("train", "--pairs", work / "scenes-1-train", "-o", out, "--recipe", recipe)
    done = json.loads(
        overpaint(
            "train", "--pairs", work / "scenes-1-train", "-o", out, "--recipe", recipe, "--json"
        )
    )
    log = [json.loads(line) for line in (Path(done["work"]) / "log.jsonl").read_text().splitlines()]
    wanted = ("step", "loss", "validation_mse", "validation_mse_of_input", "learning_rate")
    yield "training: losses", [{key: line[key] for key in wanted if key in line} for line in log]
    yield "training: weights", tensors(out)


def pairs(work: Path) -> Iterator[tuple[str, Any]]:
    names = ("original_prompt", "edit_prompt", "edited_prompt")
    source = work / "triplets.jsonl"
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in TRIPLETS]
    source.write_text("\n".join(lines) + "\n")
    for method, more in (("controlnet", CONTROLNET), ("prompt-to-prompt", "")):
        recipe = work / f"{method}.yaml"
        recipe.write_text(PAIRS + more)
        out = work / f"pairs-{method}"
        overpaint(
            *("pairs", "--triplets", source, "-o", out, "--recipe", recipe, "--method", method),
            *(() if more else ("--set", "candidates=3")),
        )
        yield f"pairs: {method}", rows(out)


def evaluation(work: Path) -> Iterator[tuple[str, Any]]:
    out = work / "report"
    overpaint(
        *("evaluate", "nano", work / "model", "-o", out, "--scenes", 12, "--steps", 4),
        *("--curve-cases", 3, "--curve-image-scales", "1.0,1.5", "--curve-text-scales", "0,4"),
        *("--galleries", "--drift-scenes", 2, "--bias"),
    )
    yield "evaluate: report.json", figures(json.loads((out / "report.json").read_text()))
    again = work / "report-of-pairs"
    overpaint(
        "evaluate",
        work / "model",
        "-o",
        again,
        "--pairs",
        work / "pairs-controlnet",
        "--clip",
        "nano",
        "--dino",
        "none",
        "--steps",
        3,
    )
    yield "evaluate: report.json of pairs", figures(json.loads((again / "report.json").read_text()))


def collect(work: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stage in (edits, scenes, training, pairs, evaluation):
        for name, value in stage(work):
            print(name, file=sys.stderr, flush=True)
            found[name] = value
    return json.loads(json.dumps(found).replace(str(work), "WORK"))


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Every leaf that is not the same, by its path."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from differences(before.get(key), after.get(key), f"{where}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{where}/{index}")
    elif before != after:
        yield f"{where}: {before!r} became {after!r}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("output", type=Path)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = collect(Path(work))
    options.output.write_text(json.dumps(found, indent=1) + "\n")
    if options.against is None:
        return 0
    changed = list(differences(json.loads(options.against.read_text()), found))
    print("\n".join(changed) or "everything is the same")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
