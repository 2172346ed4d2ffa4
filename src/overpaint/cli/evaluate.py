"""`overpaint evaluate`: models and cases in, a report out."""

from __future__ import annotations

import shlex
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overpaint.cli._engine import EngineOption, WorkersOption, read_engine
from overpaint.cli._output import print_json, say
from overpaint.cli._threads import quieten_threads
from overpaint.cli.scenes import World

if TYPE_CHECKING:
    from overpaint.report.schema import ModelReport, Report


class Split(StrEnum):
    """Which scenes to evaluate on."""

    heldout = "heldout"
    train = "train"
    novel = "novel"


class Preset(StrEnum):
    """Published protocols."""

    magicbrush_single = "magicbrush-single"
    magicbrush_multi = "magicbrush-multi"
    emu_edit = "emu-edit"


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
    preset: Annotated[
        Preset | None, typer.Option(help="A published protocol on --pairs: rows, captions, judges.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Its first so many.")] = None,
    scenes: Annotated[
        int | None, typer.Option(min=1, help="So many scenes with exact answers. [default: 600]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Names the scenes and the noise. [default: 0]")
    ] = None,
    split: Annotated[
        Split | None,
        typer.Option(help="novel: objects never edited in training. [default: heldout]"),
    ] = None,
    world: Annotated[
        World | None, typer.Option(help="small: 48 objects; full: 189. [default: small]")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=8, max=4096, help="Side of scenes in pixels. [default: 64]"),
    ] = None,
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
            "on scenes, openai/clip-vit-large-patch14 elsewhere]"
        ),
    ] = None,
    dino: Annotated[
        str | None,
        typer.Option(
            help="The DINO that judges: a folder, a hub id, none. [default: none on "
            "scenes, facebook/dino-vits16 elsewhere]"
        ),
    ] = None,
    curve: Annotated[
        bool | None, typer.Option(help="Trade-off over image guidance scales.")
    ] = None,
    curve_cases: Annotated[
        int | None, typer.Option(min=2, help="Cases for the curve. [default: 104]")
    ] = None,
    curve_image_scales: Annotated[
        str | None, typer.Option(help="s_I of the curve. [default: 1.0,1.2,1.4,1.6,1.8,2.0,2.2]")
    ] = None,
    curve_text_scales: Annotated[
        str | None, typer.Option(help="s_T of the curve. [default: the model's]")
    ] = None,
    galleries: Annotated[
        bool | None, typer.Option(help="Different edits, noise and scales; edits in turn.")
    ] = None,
    drift_scenes: Annotated[
        int | None, typer.Option(min=1, help="Scenes edited in turn. [default: 24]")
    ] = None,
    picture: Annotated[
        str | None, typer.Option(help="Picture of the galleries. [default: the first case's]")
    ] = None,
    instruction: Annotated[
        list[str] | None, typer.Option(help="Instruction of the galleries; may come again.")
    ] = None,
    bias: Annotated[
        bool | None, typer.Option(help="Audit of attributes that nobody named.")
    ] = None,
    bias_folder: Annotated[
        Path | None, typer.Option(help="Photographs for the audit, instead of drawings.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pictures at once.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16, bfloat16.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe; its evaluate: block is read.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="One setting of evaluate:, such as scenes=100."
        ),
    ] = None,
    engine: EngineOption = None,
    workers: WorkersOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure models on scenes or pairs and write a report; the same command resumes."""
    if pairs is not None and scenes is not None:
        raise typer.BadParameter("--pairs and --scenes cannot go together.")
    quieten_threads()
    from overpaint.evaluation.settings import EvaluateSettings
    from overpaint.recipe import read_block

    # Who says how a part is to be made wants it.
    if curve is None and any((curve_cases, curve_image_scales, curve_text_scales)):
        curve = True
    if galleries is None and any((drift_scenes, picture, instruction)):
        galleries = True
    if bias is None and bias_folder is not None:
        bias = True
    given = {
        "pairs": None if pairs is None else str(pairs),
        "preset": None if preset is None else preset.value,
        "limit": limit,
        "scenes": scenes,
        "seed": seed,
        "split": None if split is None else split.value,
        "world": None if world is None else world.value,
        "size": size,
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "image_guidance_scale": image_guidance_scale,
        "resolution": resolution,
        "clip": clip,
        "dino": dino,
        "curve": curve,
        "curve_cases": curve_cases,
        "curve_image_scales": _numbers(curve_image_scales, "--curve-image-scales"),
        "curve_text_scales": _numbers(curve_text_scales, "--curve-text-scales"),
        "galleries": galleries,
        "drift_scenes": drift_scenes,
        "picture": picture,
        "instructions": instruction,
        "bias": bias,
        "bias_folder": None if bias_folder is None else str(bias_folder),
        "batch_size": batch_size,
        "device": device,
        "dtype": dtype,
    }
    overrides = [*(settings or [])]
    overrides += ["evaluate.scenes=null"] if pairs is not None else []
    overrides += (
        ["evaluate.pairs=null", "evaluate.limit=null", "evaluate.preset=null"]
        if scenes is not None
        else []
    )
    values = read_block(recipe, "evaluate", EvaluateSettings, overrides, given)
    from overpaint.evaluation.stage import evaluate_with_settings

    began = time.perf_counter()
    report = evaluate_with_settings(
        models,
        values,
        output,
        command=shlex.join(["overpaint", *sys.argv[1:]]),
        say=lambda sentence: say(f"note: {sentence}"),
        engine=read_engine(engine, workers, recipe, settings or []),
    )
    _print(report, output, time.perf_counter() - began, as_json=as_json)


def _numbers(text: str | None, option: str) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no numbers.", param_hint=option) from None


def _overall(model: ModelReport) -> dict[str, object]:
    return {name: found.model_dump() for name, found in model.scores["overall"].items()}


def _print(report: Report, output: Path, seconds: float, *, as_json: bool) -> None:
    from overpaint.report.page import summary

    if as_json:
        print_json(
            {
                "report": str(output / "report.json"),
                "page": str(output / "report.html"),
                "seconds": round(seconds, 1),
                "better": {metric.name: metric.better for metric in report.metrics},
                "scores": {model.label: _overall(model) for model in report.models},
                "unedited": report.unedited and _overall(report.unedited),
                "trained_on": {model.label: model.trained_on for model in report.models},
                "notes": report.notes,
            }
        )
        return
    for sentence in summary(report):
        say(sentence)
    typer.echo(output / "report.html")
