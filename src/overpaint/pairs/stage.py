"""Triplets → pairs.

    DIR/data/train-00000-of-000NN.parquet    the pairs that are kept
    DIR/tallies/train-00000-of-000NN.json    what became of the rows of that shard
    DIR/origin.json                          what the folder was made from
    DIR/summary.json, pairs.html             written when all shards are there

A row's key is a hash of its three texts; it decides the shard and, with the recipe's seed,
everything random. So a killed run, started again, ends in the same shards, and so does one that
other workers do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overpaint.artifact import Artifact, binding
from overpaint.data.formats import NOT_UNICODE, read_triplets
from overpaint.digests import text_digest
from overpaint.engine import Engine, Job, Row, quarantined, run
from overpaint.engine.running import unmade_shards
from overpaint.errors import UserError
from overpaint.files import read_json, write_json
from overpaint.models.devices import pick_device, pick_dtype
from overpaint.models.names import find_model
from overpaint.models.origin import clip_origin, model_origin
from overpaint.pairs.generation import open_generator
from overpaint.pairs.report import write_page
from overpaint.pairs.settings import PairsSettings
from overpaint.pairs.statistics import add, summarise
from overpaint.rows import MAX_CAPTION, MAX_INSTRUCTION, TRIPLET_COLUMNS, pair_features
from overpaint.seeds import derive_seed
from overpaint.shards import row_key, split, write_card
from overpaint.tally import DUPLICATE, EMPTY, NO_OP, OVER_LONG, Tally

if TYPE_CHECKING:
    import torch

SHOWN_ROWS = 64  # rows whose pictures are kept for the page, whatever becomes of them

_SUMMARY = "summary.json"


def make_pairs(
    triplets: str | Path,
    out: str | Path,
    settings: PairsSettings,
    engine: Engine | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Make pairs of every triplet of a source under `out`; returns the summary.

    `triplets` is a folder of shards, a .jsonl, .csv or .parquet file, or a dataset id. The same
    call resumes: shards that are there are not made again.

    Raises:
        UserError: the triplets cannot be read, a model is missing or does not fit, `out` was made
            from something else, another process writes there, or the disk is full.
    """
    out, place = Path(out), pick_device(device)
    settings = settled(settings, place)
    rows, reading = usable_rows(triplets)
    shards = split(rows, _key, settings.rows_per_shard)
    job = Job(
        out=out,
        title="triplets",
        shards=shards,
        open_stage=partial(open_generator, settings, place, _shown(rows)),
        features=pair_features(),
    )
    artifact = artifact_of(rows, out, settings, place)
    with artifact.being_made():
        missing = unmade_shards(out, len(shards))
        began = time.perf_counter()
        tallies = run(job, engine)
        seconds = time.perf_counter() - began
        counts, aside = add(tallies), quarantined(tallies)
        summary = summarise(counts, settings, reading, aside)
        made = add(tallies[index] for index in missing)
        summary["speed"] = _speed(sum(made.rows.values()), made.accepted, seconds) or _earlier(out)
        _write(out, summary, settings)
        write_page(out / "pairs.html", counts, summary, settings)
        words = f"{summary['accepted']} pairs of {summary['rows']} triplets"
        artifact.finish(complete=not aside, made=words)
    return summary


def usable_rows(source: str | Path) -> tuple[list[dict[str, Any]], Tally]:
    """The triplets of a source that pictures can be made of, each once, and what was rejected.

    A row holds the three texts, each in one line, the `kind` of edit (or None) and the row's `key`.

    Raises:
        UserError: the source cannot be read, or none of its rows can be used.
    """
    tally, rows = Tally(), dict[str, dict[str, Any]]()
    for triplet in read_triplets(source, tally):
        tally.seen += 1
        texts = {name: " ".join(getattr(triplet, name).split()) for name in TRIPLET_COLUMNS}
        fault = _fault(texts, triplet.kind or "")
        key = row_key(*texts.values()) if fault is None else ""
        if key in rows:
            fault = DUPLICATE
        if fault is None:
            rows[key] = {**texts, "kind": triplet.kind, "key": key}
        else:
            shown = (text.encode(errors="replace").decode() for text in texts.values())
            tally.reject(fault, " | ".join(shown))
    if not rows:
        raise UserError(
            f"none of the {tally.seen} triplets in {source} can be used: {tally.commonest()}."
        )
    return list(rows.values()), tally


def settled(settings: PairsSettings, place: torch.device) -> PairsSettings:
    """The settings with the number format chosen, for all workers: a folder is of one format."""
    dtype = str(pick_dtype(settings.dtype, place)).removeprefix("torch.")
    return settings.model_copy(update={"dtype": dtype})


def artifact_of(
    rows: Sequence[Row], out: Path, settings: PairsSettings, place: torch.device
) -> Artifact:
    """The folder of pairs of these rows, by `settled` settings, drawn on `place`.

    Raises:
        UserError: a model is missing or cannot be read.
    """
    parts = {"model", "controlnet", "clip"}
    origin = {
        "stage": "pairs",
        "triplets": text_digest(sorted(json.dumps(row, sort_keys=True) for row in rows)),
        "parts": origins(settings),
        "settings": {name: v for name, v in binding(settings).items() if name not in parts},
        "device": place.type,
    }
    return Artifact(out, origin, out / "data")


def origins(settings: PairsSettings) -> dict[str, str | None]:
    """What tells the model, the ControlNet and the CLIP from others: see `models.origin`.

    Raises:
        UserError: there is no such model, or a file of a part cannot be read.
    """
    find_model(settings.model)
    controlnet = settings.controlnet_model
    return {
        "model": model_origin(settings.model),
        "controlnet": None if controlnet is None else model_origin(controlnet),
        "clip": clip_origin(settings.judge),
    }


def _fault(texts: Mapping[str, str], kind: str) -> str | None:
    """Why no pair can be made of a row, or None."""
    original, edit, edited = (texts[name] for name in TRIPLET_COLUMNS)
    if not (original and edit and edited):
        return EMPTY
    if max(len(original), len(edited)) > MAX_CAPTION or max(len(edit), len(kind)) > MAX_INSTRUCTION:
        return OVER_LONG
    if original == edited:
        return NO_OP
    try:
        f"{original}{edit}{edited}{kind}".encode()
    except UnicodeEncodeError:  # half of a pair of surrogates, as JSON can spell it
        return NOT_UNICODE
    return None


def _key(row: Row) -> str:
    return str(row["key"])


def _shown(rows: Sequence[Row]) -> frozenset[str]:
    """A sample of the rows, by their keys alone."""
    drawn = sorted(map(_key, rows), key=lambda key: derive_seed(0, "shown", key))
    return frozenset(drawn[:SHOWN_ROWS])


def _speed(rows: int, accepted: int, seconds: float) -> dict[str, float] | None:
    """What this run did, loading included; None where there was nothing to do."""
    if not rows:
        return None
    return {
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds, 4),
        "accepted_per_second": round(accepted / seconds, 4),
    }


def _earlier(out: Path) -> Any:
    """The speed of the run that finished this folder."""
    try:
        return read_json(out / _SUMMARY, dict).get("speed")
    except UserError:
        return None  # not there, or not ours: it is written anew


def _write(out: Path, summary: dict[str, Any], settings: PairsSettings) -> None:
    write_json(out / _SUMMARY, summary)
    write_card(
        out,
        "Pairs",
        f"{summary['accepted']} pairs of pictures with the instruction that leads from one to the "
        f"other, drawn by `{settings.model}` with the method {settings.method} and chosen by CLIP "
        f"scores (`{settings.judge}`).\n\n"
        "Written by `overpaint pairs`; see `summary.json` and `pairs.html`.",
    )
