"""`overpaint instruct`: captions in, triplets out; and the training of what writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overpaint.cli._engine import read_engine
from overpaint.cli._options import (
    AsJson,
    Assignments,
    Device,
    EngineOption,
    RecipeFile,
    WorkersOption,
)
from overpaint.cli._output import echo, print_json, say
from overpaint.cli._settings import given, options_of, read_options
from overpaint.cli._threads import quieten_threads

app = typer.Typer(help="Write edit instructions for captions.", no_args_is_help=True)

_SETTINGS = "overpaint.instruct.settings:InstructSettings"
_OF_CAPTIONS = ("captions", "scenes", "world", "endpoint")  # nothing to fine-tune on
Triplets = Annotated[Path, typer.Option("-o", "--output", help="Folder of triplets to write.")]


@app.command(cls=options_of(_SETTINGS, without=("finetune", "data")))
def generate(
    context: typer.Context,
    output: Triplets,
    recipe: RecipeFile = None,
    settings: Assignments = None,
    device: Device = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Number format: float32, float16 or bfloat16. [default: bfloat16 on a GPU, else "
            "float32]"
        ),
    ] = None,
    engine: EngineOption = None,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Write triplets for captions with a language model.

    The same command resumes a run that was stopped.
    """
    quieten_threads()
    from overpaint.instruct.settings import InstructSettings

    chosen = given(context)
    overrides = [*(settings or [])]
    overrides += ["instruct.scenes=null"] if "captions" in chosen else []
    overrides += ["instruct.captions=null"] if "scenes" in chosen else []
    overrides += ["instruct.data=null"] if "model" in chosen else []
    values = read_options(context, recipe, "instruct", InstructSettings, overrides, chosen)
    if values.data is not None:
        raise typer.BadParameter(
            "the recipe fine-tunes its model first: give --model, the folder that "
            "`overpaint instruct finetune` wrote."
        )
    from overpaint.instruct.generation import generate as write_triplets
    from overpaint.instruct.report import table
    from overpaint.instruct.sources import find_captions, find_writer

    where = read_engine(engine, workers, recipe, settings or [])
    open_writer, writer = find_writer(values, device=device, dtype=dtype)
    source = find_captions(values, output)
    summary = write_triplets(source, output, open_writer, values, writer, where)
    if as_json:
        print_json({"folder": str(output), **summary})
        return
    echo(table(summary))
    say(f"triplets: {output}; a page to read: {output / 'triplets.html'}")


@app.command(cls=options_of(_SETTINGS, without=("generate", *_OF_CAPTIONS)))
def finetune(
    context: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", help="The model's folder.")],
    recipe: RecipeFile = None,
    settings: Assignments = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a language model on triplets.

    The same command resumes a run that was stopped.
    """
    quieten_threads()
    from overpaint.instruct.settings import InstructSettings

    values = read_options(context, recipe, "instruct", InstructSettings, settings or [])
    if values.data is None or values.model is None:
        raise typer.BadParameter("give --data and --model: triplets, and what to start from.")
    from overpaint.instruct.finetuning import finetune as train

    report = train(values.data, values.model, output, values, device)
    if as_json:
        print_json(report)
        return
    before, after = report["held_out_loss_before"], report["held_out_loss_after"]
    if before is not None:
        say(f"held-out loss {before:.4f} before, {after:.4f} after")
    for why, count in report["tally"]["rejected"].items():
        say(f"left out: {count} × {why}")
    say(f"{report['rows']} rows, {report['steps']} steps; log and curve: {report['work']}")
    typer.echo(output)


@app.command()
def examples(
    output: Triplets,
    scenes: Annotated[
        int,
        typer.Option(min=0, help="Number of triplets over scenes, beside 320 written by hand."),
    ] = 1000,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the scenes. The same seed gives the same bytes.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Write the package's own triplets, to fine-tune on."""
    import json
    from itertools import chain

    from overpaint.artifact import Artifact
    from overpaint.digests import text_digest
    from overpaint.instruct.everyday import everyday_triplets, scene_triplets
    from overpaint.rows import triplet_features
    from overpaint.shards import write_card, write_shard

    by_hand = everyday_triplets()
    rows = [row.to_row() for row in chain(by_hand, scene_triplets(scenes, seed))]
    origin = {
        "stage": "examples",
        "triplets": text_digest(json.dumps(row, sort_keys=True) for row in rows),
    }
    artifact = Artifact(output, origin, output / "data")
    with artifact.being_made():
        write_shard(output, 0, 1, rows, triplet_features())
        write_card(
            output,
            "Triplets",
            f"{len(by_hand)} triplets over everyday captions, written by hand, and {scenes} over "
            f"scenes, written by `overpaint instruct examples --scenes {scenes} --seed {seed}`.",
            license="apache-2.0",
        )
        artifact.finish()
    if as_json:
        print_json({"folder": str(output), "by_hand": len(by_hand), "scenes": scenes})
    else:
        echo(f"{output}: {len(by_hand) + scenes} triplets")
