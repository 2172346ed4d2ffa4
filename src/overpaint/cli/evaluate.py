"""`overpaint evaluate`: models and cases in, a report out."""

from __future__ import annotations

import os
import shlex
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overpaint.cli._output import print_json, say
from overpaint.cli.scenes import World

if TYPE_CHECKING:
    from overpaint.evaluation.cases import CaseSet
    from overpaint.evaluation.evaluate import Judges
    from overpaint.evaluation.report import Report

PUBLIC_CLIP = "openai/clip-vit-large-patch14"
PUBLIC_DINO = "facebook/dino-vits16"
NONE = "none"


class Split(StrEnum):
    """Which scenes to evaluate on."""

    heldout = "heldout"
    train = "train"
    novel = "novel"


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="nano, folders, files, hub ids; several are compared."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The report's folder.")],
    pairs: Annotated[
        Path | None, typer.Option(help="A folder of pairs, of MagicBrush or of Emu Edit.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Its first so many.")] = None,
    scenes: Annotated[
        int | None, typer.Option(min=1, help="So many scenes with exact answers. [default: 600]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Names the scenes and the noise.")] = 0,
    split: Annotated[Split, typer.Option(help="novel: objects never edited in training.")] = (
        Split.heldout
    ),
    world: Annotated[World, typer.Option(help="small: 48 objects; full: 189.")] = World.small,
    size: Annotated[int, typer.Option(min=8, max=4096, help="Side of scenes in pixels.")] = 64,
    steps: Annotated[int | None, typer.Option(min=1, help="[default: the model's]")] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(help="s_T: how closely the instruction is followed.")
    ] = None,
    image_guidance_scale: Annotated[
        float | None, typer.Option(help="s_I: how closely the picture is kept.")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Longer side at which to edit.")] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help="The CLIP that judges: nano, a folder, a hub id, none. [default: nano's "
            f"on scenes, {PUBLIC_CLIP} elsewhere]"
        ),
    ] = None,
    dino: Annotated[
        str | None,
        typer.Option(
            help="The DINO that judges: a folder, a hub id, none. [default: none on "
            f"scenes, {PUBLIC_DINO} elsewhere]"
        ),
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="Trade-off over image guidance scales.")
    ] = False,
    curve_cases: Annotated[int, typer.Option(min=2, help="Cases for the curve.")] = 104,
    curve_image_scales: Annotated[str, typer.Option(help="s_I of the curve.")] = (
        "1.0,1.2,1.4,1.6,1.8,2.0,2.2"
    ),
    curve_text_scales: Annotated[
        str | None, typer.Option(help="s_T of the curve. [default: the model's]")
    ] = None,
    galleries: Annotated[
        bool,
        typer.Option("--galleries", help="Different edits, noise and scales; edits in turn."),
    ] = False,
    drift_scenes: Annotated[int, typer.Option(min=1, help="Scenes edited in turn.")] = 24,
    picture: Annotated[
        str | None, typer.Option(help="Picture of the galleries. [default: the first case's]")
    ] = None,
    instruction: Annotated[
        list[str] | None, typer.Option(help="Instruction of the galleries; may come again.")
    ] = None,
    bias: Annotated[
        bool, typer.Option("--bias", help="Audit of attributes that nobody named.")
    ] = False,
    bias_folder: Annotated[
        Path | None, typer.Option(help="Photographs for the audit, instead of drawings.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pictures at once.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16, bfloat16.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure models on scenes or pairs and write a report; the same command resumes."""
    if pairs is not None and scenes is not None:
        raise typer.BadParameter("--pairs and --scenes cannot go together.")
    if limit is not None and pairs is None:
        raise typer.BadParameter("--limit belongs to --pairs.")
    # Threads that spin while they wait make small models many times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from overpaint.evaluation.evaluate import Extras
    from overpaint.evaluation.evaluate import evaluate as run_evaluation
    from overpaint.evaluation.runs import SamplingSettings

    began = time.perf_counter()
    extras = Extras(
        curve=curve,
        curve_cases=curve_cases,
        image_scales=_numbers(curve_image_scales, "--curve-image-scales"),
        text_scales=_numbers(curve_text_scales or "", "--curve-text-scales"),
        galleries=galleries,
        drift_scenes=drift_scenes,
        picture=_open(picture),
        instructions=tuple(instruction or ()),
        bias=bias or bias_folder is not None,
        bias_folder=bias_folder,
    )
    settings = SamplingSettings(
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        image_guidance_scale=image_guidance_scale,
        resolution=resolution,
        seed=seed,
        batch_size=batch_size,
    )
    report = run_evaluation(
        models,
        _cases(pairs, limit, scenes, seed, split, world, size),
        settings,
        output,
        judges=_judges(clip, dino, on_scenes=pairs is None),
        extras=extras,
        device=device,
        dtype=dtype,
        command=shlex.join(["overpaint", *sys.argv[1:]]),
        say=lambda sentence: say(f"note: {sentence}"),
    )
    _print(report, output, time.perf_counter() - began, as_json=as_json)


def _cases(
    pairs: Path | None,
    limit: int | None,
    scenes: int | None,
    seed: int,
    split: Split,
    world: World,
    size: int,
) -> CaseSet:
    from overpaint.evaluation.cases import read_cases, scene_cases

    if pairs is not None:
        return read_cases(pairs, limit)
    return scene_cases(scenes or 600, seed, split.value, world.value, size)


def _judges(clip: str | None, dino: str | None, *, on_scenes: bool) -> Judges:
    """The judges that are asked for, or those that suit the data."""
    from overpaint.evaluation.evaluate import Judges

    clip = clip or ("nano" if on_scenes else PUBLIC_CLIP)
    dino = dino or (NONE if on_scenes else PUBLIC_DINO)
    return Judges(None if clip == NONE else clip, None if dino == NONE else dino)


def _open(picture: str | None) -> Any:
    from overpaint.images import load_image

    return None if picture is None else load_image(picture)


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no numbers.", param_hint=option) from None


def _print(report: Report, output: Path, seconds: float, *, as_json: bool) -> None:
    from overpaint.evaluation.page import summary

    if as_json:
        print_json(
            {
                "report": str(output / "report.json"),
                "page": str(output / "report.html"),
                "seconds": round(seconds, 1),
                "scores": {
                    model.label: {
                        name: e.model_dump() for name, e in model.scores["overall"].items()
                    }
                    for model in report.models
                },
                "notes": report.notes,
            }
        )
        return
    for sentence in summary(report):
        say(sentence)
    typer.echo(output / "report.html")
