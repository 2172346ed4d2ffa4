"""A recipe whose every model is tiny: the whole chain in seconds. Also for benchmarks/kill_run.py."""

from __future__ import annotations

import random
from pathlib import Path

from fakes import build_tiny_clip

from overpaint.models import quiet_libraries
from tiny import LATENT_CHANNELS, build_tiny_pipeline, tiny_controlnet
from tiny_language import CAPTIONS, build_tiny_language_model

RECIPE = """\
name: tiny
seed: 3
instruct:
  captions: {folder}/captions.txt
  model: {folder}/writer
  format: kinds
  generate:
    captions_per_shard: 3
    max_instruction: 12
    max_caption: 16
    max_new_tokens: 40
    temperature: 1.0
    need_reflection: false  # random weights reflect nothing
    attempts: 2
pairs:
  model: {folder}/drawing
  controlnet: {folder}/drawing
  clip: {folder}/drawing
  resolution: 32
  num_inference_steps: 2
  controlnet_conditioning_scales: [0.5, 1.0]
  rows_per_shard: 4
  thresholds: {{clip_edited: null, clip_image: null, clip_direction: null}}
train:
  model: {folder}/drawing
  resolution: 32
  random_flip: false
  steps: 4
  batch_size: 2
  gradient_accumulation_steps: 1
  gradient_checkpointing: false
  checkpoint_every: 1
  log_every: 1
  validation_pairs: 1
  num_inference_steps: 1
evaluate:
  scenes: 3
  size: 32
  clip: {folder}/drawing
"""


def build_world(folder: Path, captions: int = 12) -> Path:
    """Write captions, models of random weights and a recipe; returns the recipe's path."""
    with quiet_libraries():
        build_tiny_language_model(folder / "writer")
        drawing = build_tiny_pipeline(folder / "drawing", in_channels=LATENT_CHANNELS)
        tiny_controlnet().save_pretrained(drawing / "controlnet")
        build_tiny_clip(drawing)
    (folder / "captions.txt").write_text("\n".join(CAPTIONS[:captions]) + "\n")
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE.format(folder=folder))
    return recipe


def damage(path: Path, draw: random.Random) -> None:
    """Flip a bit of a file, or cut it."""
    content = bytearray(path.read_bytes())
    if draw.random() < 0.4:
        path.write_bytes(content[: draw.randrange(len(content))])
        return
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
