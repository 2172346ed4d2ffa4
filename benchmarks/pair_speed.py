"""Accepted pairs a second: our ControlNet method against a faithful loop of one picture at a time.

    python benchmarks/pair_speed.py --model runs/nano/parent --rows 64 \\
        --set thresholds.clip_direction=0.1

The loop is the mission's: for each row a source by stock diffusers (DDIM), its Canny edges, one
candidate after the other by the stock ControlNet pipeline (PNDM), and for every candidate CLIP
embeds both pictures and both captions again. A row's pictures share one seed, as there. Ours draws
and scores the rows of a chunk together.
Both run in this process, in float32 and chunk by chunk in turn, from the same noise and with the
same edge detector, so every row must be decided alike: which candidate is kept, or none. Counted
are the samples that went through each network. Rows are scenes' captions; seconds are those of the
clock on this machine as busy as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    PNDMScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
)
from PIL import Image
from torch import Tensor, nn

from overpaint.models import quiet_libraries
from overpaint.models.clip import Clip, load_clip
from overpaint.models.text_to_image import TextToImageModel, load_text_to_image
from overpaint.pairs.canny import canny
from overpaint.pairs.controlnet import ControlNetMethod
from overpaint.pairs.generation import Embeddings, score_candidates
from overpaint.pairs.scores import Scores, choose, failures, rank, score_vectors
from overpaint.pairs.settings import PairsSettings
from overpaint.recipe import read_block
from overpaint.rows import Triplet
from overpaint.scenes.examples import sample_example
from overpaint.seeds import derive_seed

NETWORKS = (
    *("text_encoder", "unet", "controlnet", "vae_encoder", "vae_decoder"),
    *("clip_image", "clip_text"),
)
AGREE = 0.99  # of the rows, at least


@dataclass
class Side:
    """What one way of working took and found."""

    seconds: float = 0.0
    samples: Counter[str] = field(default_factory=Counter)
    chosen: list[int | None] = field(default_factory=list)
    pictures: list[list[np.ndarray]] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """Rows that gave a pair."""
        return sum(choice is not None for choice in self.chosen)


class Loop:
    """The mission's notebook: stock pipelines, one picture at a time."""

    def __init__(self, model: TextToImageModel, clip: Clip, settings: PairsSettings) -> None:
        parts = {
            "vae": model.vae,
            "text_encoder": model.text_encoder,
            "tokenizer": model.tokenizer,
            "unet": model.unet,
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
        schedule = model.scheduler.config
        self.draw = StableDiffusionPipeline(**parts, scheduler=DDIMScheduler.from_config(schedule))
        self.steer = StableDiffusionControlNetPipeline(
            **parts,
            controlnet=model.controlnet,
            scheduler=PNDMScheduler.from_config(schedule, skip_prk_steps=True),
        )
        for pipeline in (self.draw, self.steer):
            pipeline.set_progress_bar_config(disable=True)
        self.model, self.clip, self.settings = model, clip, settings

    def row(self, request: Triplet) -> tuple[int | None, list[np.ndarray]]:
        """Which candidate is kept (None: none passes), and all pictures, the source first."""
        source = self.draw(request.original_prompt, **self._sampling(request.seed)).images[0]
        edges = Image.fromarray(canny(np.asarray(source), *self._thresholds())).convert("RGB")
        best: tuple[float, int] | None = None
        pictures = [np.asarray(source)]
        for index, scale in enumerate(self.settings.controlnet_conditioning_scales):
            edited = self.steer(
                request.edited_prompt,
                image=edges,
                controlnet_conditioning_scale=scale,
                **self._sampling(request.seed),
            ).images[0]
            pictures.append(np.asarray(edited))
            scores = self._score(request, source, edited)
            passes = not failures(scores, self.settings.thresholds)
            if passes and (best is None or rank(scores) > best[0]):
                best = (rank(scores), index)
        return (None if best is None else best[1]), pictures

    def _sampling(self, seed: int) -> dict[str, Any]:
        return {
            "num_inference_steps": self.settings.num_inference_steps,
            "guidance_scale": self.settings.guidance_scale[0],
            "generator": torch.Generator().manual_seed(seed),
            "height": self.model.native_size,
            "width": self.model.native_size,
        }

    def _thresholds(self) -> tuple[int, int]:
        return self.settings.canny_low, self.settings.canny_high

    def _score(self, request: Triplet, source: Image.Image, edited: Image.Image) -> Scores:
        before, after = self.clip.images([source]), self.clip.images([edited])
        then = self.clip.texts([request.original_prompt])
        now = self.clip.texts([request.edited_prompt])
        (scores,) = score_vectors(before, after, then, now)
        return scores


class Ours:
    """`overpaint pairs` by its parts."""

    def __init__(self, model: TextToImageModel, clip: Clip, settings: PairsSettings) -> None:
        self.method = ControlNetMethod(model, settings)
        self.model, self.clip, self.settings = model, clip, settings

    def rows(self, requests: Sequence[Triplet]) -> tuple[list[int | None], list[list[np.ndarray]]]:
        """What is kept of each row, and all its pictures."""
        seeds = [one.seed for one in requests]
        sources = self.method.draw_sources(requests, seeds)
        candidates = self.method.draw_candidates(requests, seeds, sources)
        scores = score_candidates(Embeddings(self.clip), requests, candidates)
        chosen = [choose(row, self.settings.thresholds, keep=1) for row in scores]
        pictures = [[row[0].original, *(c.edited for c in row)] for row in candidates]
        return [row[0] if row else None for row in chosen], pictures


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--controlnet", help="default: the model's own")
    parser.add_argument("--clip", default="nano")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--chunk", type=int, default=16, help="rows that ours takes at once")
    parser.add_argument("--batch-size", type=int, default=64, help="pictures, of ours")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of pairs:")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    said = [f"model={options.model}", f"clip={options.clip}", f"batch_size={options.batch_size}"]
    said += ["scheduler=ddim", "candidate_scheduler=pndm"]
    settings = read_block(None, "pairs", PairsSettings, [*said, *options.set])
    requests = [request(options.seed, index) for index in range(options.rows)]
    sides = {"ours": Side(), "loop": Side()}
    with quiet_libraries():
        loop, ours = Loop(*load(options), settings), Ours(*load(options), settings)
        ours.rows(requests[:1])  # what is made once is made before the clock
        loop.row(requests[0])
        for start in range(0, len(requests), options.chunk):
            compare(loop, ours, requests[start : start + options.chunk], sides)
            done = len(sides["loop"].chosen)
            print(f"{done} of {len(requests)} rows, {summary(sides, done)}", file=sys.stderr)
    report = {"settings": vars(options), "threads": torch.get_num_threads()}
    print(json.dumps(report | findings(sides), indent=1))


def load(options: argparse.Namespace) -> tuple[TextToImageModel, Clip]:
    """A model of its own for each side: ours lays its weights out in another way."""
    controlnet = options.controlnet or options.model
    model = load_text_to_image(options.model, controlnet, options.device, "float32")
    return model, load_clip(options.clip, options.device)


def compare(loop: Loop, ours: Ours, requests: Sequence[Triplet], sides: dict[str, Side]) -> None:
    """Both ways on the same rows, one after the other."""
    with measured(sides["ours"], ours):
        chosen, pictures = ours.rows(requests)
    sides["ours"].chosen += chosen
    sides["ours"].pictures += pictures
    for one in requests:
        with measured(sides["loop"], loop):
            choice, drawn = loop.row(one)
        sides["loop"].chosen.append(choice)
        sides["loop"].pictures.append(drawn)


def request(seed: int, index: int) -> Triplet:
    """Row `index`: the captions of a scene before and after an edit."""
    example = sample_example(derive_seed(seed, "pair speed", index))
    return Triplet(
        original_prompt=example.original_prompt,
        edit_prompt=example.edit_prompt,
        edited_prompt=example.edited_prompt,
        kind=example.kind,
        seed=derive_seed(seed, "pair speed noise", index),
    )


@contextmanager
def measured(side: Side, way: Loop | Ours) -> Iterator[None]:
    """Count the samples that go through each network, and the seconds."""
    model, clip = way.model, way.clip
    modules: tuple[nn.Module, ...] = (
        *(model.text_encoder, model.unet, model.controlnet, model.vae.encoder, model.vae.decoder),
        *(clip.model.vision_model, clip.model.text_model),
    )
    hooks = [
        module.register_forward_pre_hook(counter(side, name), with_kwargs=True)
        for name, module in zip(NETWORKS, modules, strict=True)
    ]
    began = time.perf_counter()
    try:
        yield
    finally:
        side.seconds += time.perf_counter() - began
        for hook in hooks:
            hook.remove()


def counter(side: Side, name: str) -> Callable[[nn.Module, Any, dict[str, Any]], None]:
    """A hook that adds the length of a network's batch: that of its first tensor."""

    def count(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        side.samples[name] += len(next(tensors))

    return count


def findings(sides: dict[str, Side]) -> dict[str, Any]:
    """What is to be shown: equal decisions, speed, and what a row costs."""
    ours, loop = sides["ours"], sides["loop"]
    rows = len(ours.chosen)
    same = [a == b for a, b in zip(ours.chosen, loop.chosen, strict=True)]
    furthest = [
        max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in zip(x, y, strict=True))
        for x, y in zip(ours.pictures, loop.pictures, strict=True)
    ]
    speed = {name: side.accepted / side.seconds for name, side in sides.items()}
    return {
        "rows": rows,
        "accepted": {name: side.accepted for name, side in sides.items()},
        "same_decision": sum(same) / rows,
        "agree": sum(same) / rows >= AGREE,
        "rows_that_differ": [index for index, equal in enumerate(same) if not equal],
        "largest_pixel_difference": max(furthest),
        "seconds": {name: round(side.seconds, 2) for name, side in sides.items()},
        "accepted_pairs_a_second": {name: round(rate, 4) for name, rate in speed.items()},
        "times_faster": round(loop.seconds / ours.seconds, 2),
        "samples_a_row": {
            name: {network: round(side.samples[network] / rows, 2) for network in NETWORKS}
            for name, side in sides.items()
        },
    }


def summary(sides: dict[str, Side], rows: int) -> str:
    """Seconds a row of both so far."""
    return ", ".join(f"{name} {side.seconds / rows:.2f} s a row" for name, side in sides.items())


if __name__ == "__main__":
    main()
