"""A folder with everything that `overpaint pairs` needs, of random weights."""

from __future__ import annotations

import json
from pathlib import Path

from fakes import build_tiny_clip

from tiny import LATENT_CHANNELS, SENTENCES, build_tiny_pipeline, tiny_controlnet

# Random weights judge at random: whatever they say passes, but for the direction.
SETTINGS = {
    "num_inference_steps": 2,
    "controlnet_conditioning_scales": "[0.5, 1.5]",
    "rows_per_shard": 3,
    "batch_size": 4,
    "thresholds.clip_edited": -1,
    "thresholds.clip_image": -1,
    "thresholds.clip_direction": "null",
}


def build_tiny_world(folder: Path) -> Path:
    """A text-to-image pipeline with its own ControlNet and CLIP."""
    build_tiny_clip(folder)
    build_tiny_pipeline(folder, in_channels=LATENT_CHANNELS)
    tiny_controlnet().save_pretrained(folder / "controlnet")
    return folder


def write_triplets(path: Path, count: int = 10) -> Path:
    """So many triplets, as `overpaint instruct` could have written them."""
    rows = [
        {"original_prompt": f"{SENTENCES[n % 8]} {n}", "edit_prompt": SENTENCES[(n + 1) % 8],
         "edited_prompt": f"{SENTENCES[(n + 2) % 8]} {n}", "kind": ("object", "style")[n % 2]}
        for n in range(count)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def words(triplets: Path, model: Path, out: Path, *more: str) -> list[str]:
    """The words after `overpaint`."""
    command = ["pairs", "--triplets", str(triplets), "--model", str(model), "-o", str(out)]
    command += ["--device", "cpu"]
    for key, value in SETTINGS.items():
        command += ["--set", f"{key}={value}"]
    return [*command, *more]
