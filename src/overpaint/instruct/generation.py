"""Captions → triplets, shard by shard.

    DIR/data/train-00000-of-000NN.parquet    the rows that are kept
    DIR/tallies/train-00000-of-000NN.json    what was rejected on the way to that shard, by reason
    DIR/origin.json                          what the folder was made from
    DIR/summary.json, triplets.html          written when all shards are there

A shard holds the captions whose key falls to it, each with its `per_caption` edits. Everything
random about a row comes from its caption, its number and the seed, and what is a repetition is
judged within the shard: so a killed run ends in the same bytes when it is started again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from overpaint.artifact import Artifact, binding
from overpaint.data.formats import read_captions
from overpaint.digests import text_digest
from overpaint.engine import Done, Engine, Job, Made, Row, quarantined, run
from overpaint.errors import UserError
from overpaint.files import read_json, write_json
from overpaint.instruct.filters import (
    NEAR_DUPLICATE,
    clean_triplet,
    fault_of_triplet,
    keep_captions,
    show,
)
from overpaint.instruct.kinds import draw_kinds, guess_kind
from overpaint.instruct.report import summarise, write_page
from overpaint.instruct.settings import GenerateSettings, InstructSettings
from overpaint.instruct.words import near_key
from overpaint.instruct.writer import Request, Writer
from overpaint.rows import Triplet, triplet_features
from overpaint.seeds import derive_seed
from overpaint.shards import row_key, row_seed, shard_path, split, write_card
from overpaint.tally import Tally

NO_STRUCTURE = "no valid text"
REPEATED = "an instruction that the shard has already"

_SUMMARY = "summary.json"


def generate(
    captions: str | Path,
    out: str | Path,
    open_writer: Callable[[], Writer],
    settings: InstructSettings,
    writer: Mapping[str, Any],
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Turn every caption of a source into triplets under `out`; returns the summary.

    `open_writer` is called in each worker, when there is something to write; `writer` (JSON values)
    tells it from another: model, number format, device. The same call resumes: shards that are there are not written again.

    Raises:
        UserError: the captions cannot be read, `out` was made from other captions, settings or
            another model, the writer fails, or the disk is full.
    """
    out = Path(out)
    kept, reading = usable_captions(captions)
    rows = [{"original_prompt": caption} for caption in kept]
    job = Job(
        out=out,
        title="captions",
        shards=split(rows, _key, settings.generate.captions_per_shard),
        open_stage=partial(_open_stage, open_writer, settings),
        features=triplet_features(),
    )
    artifact = artifact_of(kept, out, settings, writer)
    with artifact.being_made():
        tallies = run(job, engine)
        wanted = len(kept) * settings.generate.per_caption
        summary = _summarise(out, tallies, wanted, reading, settings)
        words = f"{summary['rows']} triplets of {summary['wanted']} wanted"
        artifact.finish(complete=not quarantined(tallies), made=words)
    return summary


def usable_captions(source: str | Path) -> tuple[list[str], Tally]:
    """The captions of a source that can be used, and what was rejected.

    Raises:
        UserError: the source cannot be read, or none of its captions can be used.
    """
    reading = Tally()
    kept = list(keep_captions(read_captions(source, reading), reading))
    if not kept:
        raise UserError(f"none of the {reading.seen} captions in {source} can be used.")
    return kept, reading


def artifact_of(
    captions: Sequence[str], out: Path, settings: InstructSettings, writer: Mapping[str, Any]
) -> Artifact:
    """The folder of triplets of these captions; `writer` is that of `generate`."""
    origin = {
        "stage": "triplets",
        "captions": text_digest(sorted(captions)),
        "writer": dict(writer),
        "format": settings.format,
        "seed": settings.seed,
        "settings": binding(settings.generate),
    }
    return Artifact(out, origin, out / "data")


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished folder of triplets; None where there is none."""
    path = folder / _SUMMARY
    return _read_json(path) if path.is_file() else None


@dataclass(frozen=True)
class TripletGenerator:
    """What the engine runs on a shard: captions → triplets, and what was rejected."""

    writer: Writer
    settings: InstructSettings

    def __call__(self, rows: Sequence[Row], done: Done) -> Made:
        """The triplets of the captions in `rows`."""
        captions = [row["original_prompt"] for row in rows]
        count = _InCaptions(done, self.settings.generate.per_caption)
        triplets, tally = write_rows(captions, self.writer, self.settings, count)
        return Made([triplet.to_row() for triplet in triplets], tally.to_dict())


def _open_stage(open_writer: Callable[[], Writer], settings: InstructSettings) -> TripletGenerator:
    return TripletGenerator(open_writer(), settings)


def _key(row: Row) -> str:
    return row_key(row["original_prompt"])


class _InCaptions:
    """Told of edits, tells of captions."""

    def __init__(self, done: Done, per_caption: int) -> None:
        self.done, self.per_caption, self.edits = done, per_caption, 0

    def __call__(self, edits: int) -> None:
        before = self.edits // self.per_caption
        self.edits += edits
        self.done(self.edits // self.per_caption - before)


def write_rows(
    captions: Sequence[str],
    writer: Writer,
    settings: InstructSettings,
    done: Callable[[int], object] = lambda count: None,
) -> tuple[list[Triplet], Tally]:
    """The triplets of one shard, by caption, and what was rejected.

    A row that is rejected is tried again, with another seed, up to `attempts` times in all.
    `done` is told of rows as they have had their first try.
    """
    generate = settings.generate
    wanted = [one for caption in captions for one in _requests(caption, generate, settings.seed)]
    chosen: dict[Request, Triplet] = {}
    tally, judge = Tally(), _Judge(generate)
    # Greedy search writes the same text again, so a second try would be in vain.
    for attempt in range(1 if generate.temperature == 0 else generate.attempts):
        left = [request for request in wanted if request not in chosen]
        asked = [replace(r, seed=derive_seed(r.seed, "try", attempt)) for r in left]
        if not asked:
            break
        answers = writer.write(asked) if attempt else writer.write(asked, done)
        for own, request, answer in zip(left, asked, answers, strict=True):
            triplet = None if answer is None else _as_triplet(request, answer, writer)
            tally.seen += 1
            fault = NO_STRUCTURE if triplet is None else judge.fault(triplet)
            if triplet is not None and fault is None:
                chosen[own] = triplet
            else:
                tally.reject(fault or "", show(triplet) if triplet else own.caption)
    return [chosen[request] for request in wanted if request in chosen], tally


def _requests(caption: str, generate: GenerateSettings, seed: int) -> list[Request]:
    """The edits that are wanted of a caption; each try derives a seed from that of its request."""
    own = row_seed(seed, row_key(caption))
    kinds = draw_kinds(generate.kinds, generate.per_caption, derive_seed(own, "kinds"))
    return [Request(caption, kind, derive_seed(own, "edit", n)) for n, kind in enumerate(kinds)]


def _as_triplet(request: Request, answer: tuple[str, str], writer: Writer) -> Triplet:
    edit_prompt, edited_prompt = answer
    triplet = clean_triplet(
        Triplet(
            original_prompt=request.caption,
            edit_prompt=edit_prompt,
            edited_prompt=edited_prompt,
            kind=request.kind,
            seed=request.seed,
            model=writer.name,
        )
    )
    if writer.asks_kind:
        return triplet
    return replace(triplet, kind=guess_kind(triplet.edit_prompt))


class _Judge:
    """Decides about the rows of one shard in their order, remembering those that it let pass."""

    def __init__(self, settings: GenerateSettings) -> None:
        self.settings = settings
        self.of_caption: set[tuple[str, str]] = set()
        self.instructions: Counter[str] = Counter()

    def fault(self, triplet: Triplet) -> str | None:
        """Why a row cannot be kept; None lets it pass."""
        fault = fault_of_triplet(triplet, need_reflection=self.settings.need_reflection)
        if fault is not None:
            return fault
        key = near_key(triplet.edit_prompt)
        if (triplet.original_prompt, key) in self.of_caption:
            return NEAR_DUPLICATE
        if self.settings.repeats and self.instructions[key] >= self.settings.repeats:
            return REPEATED
        self.of_caption.add((triplet.original_prompt, key))
        self.instructions[key] += 1
        return None


def _summarise(
    out: Path,
    tallies: Sequence[dict[str, Any]],
    wanted: int,
    reading: Tally,
    settings: InstructSettings,
) -> dict[str, Any]:
    """Put the summary together from what lies on the disk, and write it and its page."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    tally = Tally()
    for index, values in enumerate(tallies):
        rows += pq.read_table(shard_path(out, index, len(tallies))).to_pylist()
        tally.add(Tally.from_dict(values))
    for bad in quarantined(tallies):
        tally.seen += 1
        tally.reject(f"set aside: {bad['reason']}", bad["row"]["original_prompt"])
    summary = summarise(rows, wanted, reading, tally)
    summary |= {"model": rows[0]["model"] if rows else None, "seed": settings.seed}
    write_json(out / _SUMMARY, summary)
    write_page(out / "triplets.html", rows, summary, settings.seed)
    write_card(
        out,
        "Triplets",
        f"{len(rows)} triplets: caption, edit instruction, edited caption; with the kind of edit, "
        f"the seed and the model that wrote them ({summary['model']}).\n\n"
        "Written by `overpaint instruct generate`; see `summary.json` and `triplets.html`.",
    )
    return summary


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, dict)
    except UserError as error:
        raise UserError(f"cannot read {path}: delete its folder and generate again.") from error
