"""Does a text-to-image model draw what it is told: the right caption of 32, by two judges.

    python benchmarks/caption_fidelity.py --model runs/nano/parent -n 300 -o runs/caption-fidelity

A picture is drawn from each caption of a scene, as `overpaint pairs` draws its sources. 31 other
captions are wrong in one fact each (an object, a colour, a size, a place, the background, the
look). The exact judge renders the scene of every caption, tries where and how large the objects may
stand, and takes the nearest by mean squared error. The other judge is a CLIP. `-n` counts captions
of seen objects, and as many again of novel ones; intervals are bootstrap 95 %. Beside the model
stand noise and the true renders: what a judge says of those is the ceiling of what it can say. With
`--places-open` captions name no places, and the exact judge tries them all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image

from nano.caption_fidelity import (
    CaptionCase,
    Pixels,
    Verdict,
    caption_case,
    judge_by_clip,
    judge_by_renders,
    summarise,
)
from overpaint.contact_sheets import Cell, contact_sheet
from overpaint.files import write_atomic
from overpaint.metrics.intervals import Estimate
from overpaint.models.clip import Clip, load_clip
from overpaint.models.text_to_image import TextToImageModel, load_text_to_image
from overpaint.pairs.sampler import Sampler
from overpaint.pairs.settings import PairsSettings
from overpaint.progress import track
from overpaint.scenes.catalogue import Role
from overpaint.scenes.rendering import render
from overpaint.seeds import derive_seed

JUDGES = ("renders", "clip")
SHOWN = 40  # pictures on a contact sheet


def main() -> None:
    """Measure, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--clip", default="nano")
    parser.add_argument("-n", "--captions", type=int, default=300, help="a role")
    parser.add_argument("--role", choices=get_args(Role), action="append", help="default: both")
    parser.add_argument("--world", choices=("small", "full"), default="small")
    parser.add_argument("--places-open", action="store_true", help="captions name no places")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device")
    parser.add_argument("-o", "--output", type=Path, help="for the report and the contact sheets")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = load_text_to_image(options.model, device=options.device)
    clip = load_clip(options.clip, options.device)
    settings = PairsSettings(
        model=options.model,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance_scale,
        batch_size=options.batch_size,
    )
    began = time.perf_counter()
    report: dict[str, object] = {key: str(value) for key, value in vars(options).items()}
    for role in options.role or get_args(Role):
        seeds = [derive_seed(options.seed, "case", index) for index in range(options.captions)]
        cases = [caption_case(seed, role, options.world, options.places_open) for seed in seeds]
        ways = {
            "model": draw(model, settings, cases),
            "noise": [noise(case, model.native_size) for case in cases],
            "true render": [render(case.right.scene, model.native_size) for case in cases],
        }
        verdicts = {name: judge(pictures, cases, clip) for name, pictures in ways.items()}
        scores = {
            name: {judge_name: summarise(each) for judge_name, each in by_judge.items()}
            for name, by_judge in verdicts.items()
        }
        report[role] = {
            name: {j: {f: e.model_dump() for f, e in s.items()} for j, s in by_judge.items()}
            for name, by_judge in scores.items()
        }
        if not options.json:
            print_table(role, scores)
        if options.output:
            path = options.output / f"{role}.png"
            write_sheet(path, f"{options.model}, {role}", cases, ways["model"], verdicts["model"])
        print(f"{role}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    text = json.dumps(report, indent=1)
    if options.output:
        write_atomic(options.output / "report.json", text.encode())
    if options.json:
        print(text)


def draw(
    model: TextToImageModel, settings: PairsSettings, cases: Sequence[CaptionCase]
) -> list[Pixels]:
    """One picture of each caption."""
    sampler = Sampler(model, settings)
    texts = sampler.embed([case.right.caption for case in cases])
    pictures: list[Pixels] = []
    for start in track(range(0, len(cases), settings.batch_size), "batches drawn"):
        batch = cases[start : start + settings.batch_size]
        plan = sampler.plan([settings.guidance_scale[0]] * len(batch))
        captions, seeds = [case.right.caption for case in batch], [case.seed for case in batch]
        pictures += list(sampler.sample(captions, seeds, plan, texts))
    return pictures


def noise(case: CaptionCase, size: int) -> Pixels:
    """A picture that shows nothing: uniform noise."""
    return np.random.default_rng(case.seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def judge(
    pictures: Sequence[Pixels], cases: Sequence[CaptionCase], clip: Clip
) -> dict[str, list[Verdict]]:
    """What both judges say of each picture."""
    by_renders = [
        judge_by_renders(picture, case)
        for picture, case in track(list(zip(pictures, cases, strict=True)), "judged by renders")
    ]
    return dict(zip(JUDGES, (by_renders, judge_by_clip(pictures, cases, clip)), strict=True))


def print_table(role: str, scores: dict[str, dict[str, dict[str, Estimate]]]) -> None:
    """A line a way and judge: retrieval@1 of 32 with its interval, then fact by fact."""
    facts = list(scores["true render"]["renders"])[1:]
    print(f"\n{role:<24}{'retrieval@1 of 32':<24}" + "".join(f"{fact:>12}" for fact in facts))
    for name, by_judge in scores.items():
        for judge_name, found in by_judge.items():
            whole = found["all"]
            words = f"{whole.mean:.3f} ({whole.low or 0:.3f} to {whole.high or 0:.3f})"
            cells = "".join(f"{found[fact].mean:>12.3f}" for fact in facts)
            way = f"{name}, by {judge_name}"
            print(f"{way:<24}{words:<24}{cells}")


def write_sheet(
    path: Path,
    title: str,
    cases: Sequence[CaptionCase],
    pictures: Sequence[Pixels],
    verdicts: dict[str, list[Verdict]],
) -> None:
    """The first pictures with their captions and what the judges found wrong."""
    cells = []
    for index, (case, picture) in enumerate(zip(cases[:SHOWN], pictures, strict=False)):
        found = [f"{name}: {wrong_facts(verdicts[name][index])}" for name in JUDGES]
        cells.append(Cell(Image.fromarray(picture), case.right.caption, " · ".join(found)))
    sheet = contact_sheet(cells, 8, title=title, side=192)
    write_atomic(path, lambda aside: sheet.save(aside))


def wrong_facts(verdict: Verdict) -> str:
    """`right`, or the facts in which another caption fits as well."""
    wrong = [fact for fact, right in verdict.by_fact.items() if not right]
    return f"wrong {', '.join(wrong)}" if wrong else "right"


if __name__ == "__main__":
    main()
