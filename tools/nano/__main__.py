"""`python -m nano`: train the parts of nano (a developer's command)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overpaint.errors import UserError
from overpaint.recipe import read_settings

Cache = Annotated[Path | None, typer.Option(help="Folder of the encoded pictures.")]
app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Train the parts of nano.")
Out = Annotated[Path, typer.Option("-o", "--out", help="Folder of the run.")]


@app.command()
def autoencoder(recipe: Path, out: Out) -> None:
    """Train the autoencoder: OUT/model."""
    from nano.autoencoder import AutoencoderRecipe, train_autoencoder

    typer.echo(train_autoencoder(read_settings(recipe, AutoencoderRecipe), out))


@app.command()
def clip(
    recipe: Path,
    out: Out,
    start: Annotated[Path | None, typer.Option("--start-from", help="A run to go on from.")] = None,
    autoencoder: Annotated[
        Path | None,
        typer.Option(help="Run of the autoencoder: train on pictures that went through it."),
    ] = None,
) -> None:
    """Train tokenizer and CLIP: OUT/tokenizer and OUT/model."""
    from nano.clip import ClipRecipe, train_clip

    typer.echo(train_clip(read_settings(recipe, ClipRecipe), out, start, autoencoder))


@app.command()
def assemble(autoencoder_run: Path, clip_run: Path, out: Out) -> None:
    """Put the parts into the base directory that `overpaint train --model` starts from."""
    from nano.assemble import assemble_base

    typer.echo(assemble_base(autoencoder_run, clip_run, out))


@app.command()
def text_to_image(recipe: Path, base: Path, out: Out, cache: Cache = None) -> None:
    """Train the text-to-image parent: OUT is a pipeline folder."""
    from nano.text_to_image import TextToImageRecipe, train_text_to_image

    typer.echo(train_text_to_image(read_settings(recipe, TextToImageRecipe), base, out, cache))


@app.command()
def controlnet(recipe: Path, parent: Path, out: Out, cache: Cache = None) -> None:
    """Train the ControlNet of a text-to-image parent: OUT is a ControlNetModel folder."""
    from nano.controlnet import ControlNetRecipe, train_controlnet

    typer.echo(train_controlnet(read_settings(recipe, ControlNetRecipe), parent, out, cache))


@app.command()
def ship(editor: Path, base: Path, parent: Path, controlnet: Path, out: Out) -> None:
    """Put all that was trained where the package carries its weights."""
    from nano.assemble import ship as ship_model

    typer.echo(ship_model(editor, base, parent, controlnet, out))


@app.command()
def ship_writer(adapter: Path, out: Out) -> None:
    """Put the trained writer of edits where the package carries it."""
    from nano.writer import ship_writer as ship_adapter

    typer.echo(ship_adapter(adapter, out))


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        raise SystemExit(f"nano: {error}") from error
