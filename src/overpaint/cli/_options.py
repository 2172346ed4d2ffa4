"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

EngineKind = Literal["local", "ray"]
Split = Literal["train", "heldout", "novel"]
World = Literal["small", "full"]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Device = Annotated[
    str | None,
    typer.Option(
        help="Where to compute: cpu, cuda, cuda:1, mps. [default: the best device of this machine]"
    ),
]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe", help="A recipe, of which this command's block is read. Options win over it."
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting by its key in the recipe, such as steps=1000. May come again.",
    ),
]
EngineOption = Annotated[
    EngineKind | None,
    typer.Option(
        "--engine",
        help="Where to work: in this process (local), or by workers on the Ray cluster at "
        "RAY_ADDRESS or on one that is started here for this command (ray). Both write the same "
        "bytes. [default: the recipe's, or local]",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Number of workers on Ray. [default: the recipe's, or 1]"
    ),
]
