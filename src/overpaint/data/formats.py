"""Reading captions and triplets: .txt, .jsonl, .csv, .parquet, a folder of shards, a dataset id.

A row that cannot be used is counted with its reason and passed over; a source of which nothing
can be used is an error. The names of columns that others use are understood (`ALIASES`).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from overpaint.errors import UserError
from overpaint.files import encoding_of, parse_json, reason
from overpaint.rows import TRIPLET_COLUMNS, Triplet
from overpaint.tally import Tally
from overpaint.text import printable

# Our column → the names that stand for it, in the order in which they are looked for.
ALIASES: dict[str, tuple[str, ...]] = {
    "original_prompt": (
        *("original_prompt", "input", "caption", "original_caption", "caption_enriched"),
        *("prompt", "text", "original"),
    ),
    "edit_prompt": ("edit_prompt", "edit", "instruction", "edit_instruction"),
    "edited_prompt": (*("edited_prompt", "edited_caption", "target_caption", "edited", "output"),),
}
ACCEPTED = "give a .txt, .jsonl, .csv or .parquet file, a folder of shards, or a dataset id"
MAX_LINE = 4 << 20  # bytes: what is longer is no row, and is not held in memory

# Reasons, in the words of the summary.
NOT_UTF8 = "invalid UTF-8"
NOT_UTF16 = "invalid UTF-16"
NOT_UNICODE = "broken Unicode"
NOT_JSON = "no JSON"
NOT_A_ROW = "not an object with columns"
LINE_TOO_LONG = "a line of more than 4 MiB"

_LOOKED_AT = 4096  # bytes that tell a text's encoding
_KEPT = "surrogatepass"  # what is half a character stays so, and costs its line only
_ROWS_AT_ONCE = 1024

_DATASET_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DELIMITED = re.compile(r"\s*\n\s*(?:##|%%)\s*\n\s*")


@dataclass(frozen=True)
class Unread:
    """In place of a row that cannot be read: the reason, and where it stands."""

    why: str
    where: str


_Row = dict[str, Any] | Unread


def read_captions(source: str | Path, tally: Tally) -> list[str]:
    """Every caption of a source, uncleaned; what is no row is counted in `tally`.

    Raises:
        UserError: there is no such source, it cannot be read, is empty, or has no caption at all.
    """
    names = ALIASES["original_prompt"]
    found = []
    for row in _counted(read_rows(source), tally):
        text = _first(row, names)
        if isinstance(text, str):
            found.append(text)
            tally.seen -= 1  # whoever cleans it counts it
        else:
            tally.reject("no column original_prompt", _show(row))
    _some(found, source, tally, f"captions (columns looked for: {', '.join(names)})")
    return found


def read_triplets(source: str | Path, tally: Tally) -> list[Triplet]:
    """Every triplet of a source, uncleaned; what is none is counted in `tally`.

    A .txt file holds the delimited text that models are trained on (see `instruct.text_format`).

    Raises:
        UserError: there is no such source, it cannot be read, is empty, or has no triplet at all.
    """
    rows = _blocks(Path(source)) if _suffix(source) == ".txt" else read_rows(source)
    found = []
    for row in _counted(rows, tally):
        texts = {name: _first(row, ALIASES[name]) for name in TRIPLET_COLUMNS}
        texts = _split_output(texts)
        absent = [name for name, text in texts.items() if not isinstance(text, str)]
        if absent:
            tally.reject(f"no column {' and '.join(absent)}", _show(row))
        else:
            kind = row.get("kind")
            found.append(Triplet(**texts, kind=kind if isinstance(kind, str) else None))
            tally.seen -= 1
    _some(found, source, tally, "triplets")
    return found


def read_rows(source: str | Path) -> Iterator[_Row]:
    """Rows of any source, in its order; in place of a row that cannot be read, the reason.

    Raises:
        UserError: there is no such source, it cannot be read, or it is empty.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        yield from _folder(path)
    elif path.exists():
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise UserError(f"cannot read {path}: {ACCEPTED}.")
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty.")
        yield from reader(path)
    elif _may_be_dataset(path):
        yield from _dataset(str(source))
    else:
        raise UserError(f"there is no file or folder {source}: {ACCEPTED}.")


def _may_be_dataset(path: Path) -> bool:
    """Whether what is not here may be an id: not what lies in a folder that is."""
    looks_so = _DATASET_ID.fullmatch(str(path)) and path.suffix.lower() not in _READERS
    return bool(looks_so) and not path.parent.is_dir()


def _lines(path: Path) -> Iterator[str | Unread]:
    """Each line that is not blank, in UTF-8 or what the file's byte order mark says."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_LOOKED_AT)
            stream.seek(0)
            encoding = encoding_of(start)
            if encoding == "utf-8-sig":
                _refuse_nul(path, start)
                yield from _utf8_lines(stream, path)
            else:
                text = io.TextIOWrapper(stream, encoding, errors=_KEPT)
                yield from _decoded_lines(text, path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}.") from error


def _utf8_lines(stream: BinaryIO, path: Path) -> Iterator[str | Unread]:
    number = 0
    while raw := stream.readline(MAX_LINE):
        number += 1
        if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
            _skip_line(stream)
            yield _unread(LINE_TOO_LONG, path, number)
            continue
        try:
            line = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            yield _unread(NOT_UTF8, path, number)
            continue
        if line:
            yield line


def _decoded_lines(stream: TextIO, path: Path) -> Iterator[str | Unread]:
    number = 0
    try:
        while raw := stream.readline(MAX_LINE):
            number += 1
            if len(raw) == MAX_LINE and not raw.endswith("\n"):
                _skip_line(stream)
                yield _unread(LINE_TOO_LONG, path, number)
            elif _is_broken(raw):
                yield _unread(NOT_UTF16, path, number)
            elif line := raw.strip():
                yield line
    except UnicodeDecodeError:  # the file ends within a character
        yield _unread(NOT_UTF16, path, number + 1)


def _unread(why: str, path: Path, line: int) -> Unread:
    return Unread(why, f"line {line} of {path.name}")


def _refuse_nul(path: Path, start: bytes) -> None:
    if b"\0" in start:
        raise UserError(
            f"{path} is no text in UTF-8 (perhaps it is UTF-16 without a byte order mark): "
            "save it as UTF-8."
        )


def _is_broken(value: Any) -> bool:
    """Whether a text holds half a character, which no file can."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _skip_line(stream: Any) -> None:
    while (more := stream.readline(MAX_LINE)) and more[-1:] not in ("\n", b"\n"):
        pass


def _text(path: Path) -> Iterator[_Row]:
    for line in _lines(path):
        yield {"original_prompt": line} if isinstance(line, str) else line


def _jsonl(path: Path) -> Iterator[_Row]:
    for number, line in enumerate(_lines(path), 1):
        if isinstance(line, Unread):
            yield line
            continue
        where = f"row {number} of {path.name}"
        try:
            row = parse_json(line)
        except ValueError:
            yield Unread(NOT_JSON, where)
            continue
        yield row if isinstance(row, dict) else Unread(NOT_A_ROW, where)


def _csv(path: Path) -> Iterator[_Row]:
    csv.field_size_limit(MAX_LINE)  # the default, 128 KiB, would end the whole file
    try:
        with path.open("rb") as stream:
            start = stream.read(_LOOKED_AT)
        encoding = encoding_of(start)
        if encoding == "utf-8-sig":
            _refuse_nul(path, start)
        # Bytes that are no text become lone surrogates, which their row is then known by.
        errors = "surrogateescape" if encoding == "utf-8-sig" else _KEPT
        with path.open(encoding=encoding, errors=errors, newline="") as text:
            reader = csv.DictReader(text)
            for row in reader:
                if any(_is_broken(value) for value in (*row, *row.values())):
                    yield _unread(NOT_UTF8, path, reader.line_num)
                else:
                    yield row
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}.") from error
    except csv.Error as error:
        raise UserError(f"cannot read {path}, after line {reader.line_num}: {error}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: it ends within a character.") from error


def _parquet(path: Path) -> Iterator[_Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        known = {name for names in ALIASES.values() for name in names} | {"kind"}
        columns = [name for name in file.schema_arrow.names if name in known]  # never images
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
            yield from _plain(batch, number, path)
            number += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"cannot read {path}: it is no whole parquet file.") from error


def _plain(batch: Any, number: int, path: Path) -> Iterator[_Row]:
    """The rows of a batch, of which the first has this number, counted from 0."""
    try:
        yield from batch.to_pylist()
    except ValueError:  # invalid UTF-8, a date that there is not: in one of them
        if batch.num_rows == 1:
            yield Unread(NOT_UTF8, f"row {number} of {path.name}")
            return
        for index in range(batch.num_rows):
            yield from _plain(batch.slice(index, 1), number + index, path)


_READERS: dict[str, Callable[[Path], Iterator[_Row]]] = {
    ".txt": _text,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}


def _folder(path: Path) -> Iterator[_Row]:
    """The rows of every readable file of a folder, or of its `data/`, by name."""
    from overpaint.shards import check_complete

    inside = path / "data" if (path / "data").is_dir() else path
    files = sorted(
        file
        for file in inside.iterdir()
        if file.suffix.lower() in (".parquet", ".jsonl", ".csv") and not file.name.startswith(".")
    )
    if not files:
        raise UserError(f"the folder {path} holds no rows: {ACCEPTED}.")
    check_complete(inside)
    for file in files:
        yield from _READERS[file.suffix.lower()](file)


def _dataset(name: str) -> Iterator[_Row]:
    """The train split of a dataset on the Hugging Face hub, streamed."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    known = {alias for names in ALIASES.values() for alias in names} | {"kind"}
    try:
        dataset = load_dataset(name, split="train", streaming=True)
        if dataset.features:
            dataset = dataset.decode(False)  # a cell opens nothing, whatever its column is called
        columns = [column for column in dataset.column_names or () if column in known]
        yield from dataset.select_columns(columns) if columns else dataset
    except (DatasetsError, HfHubHTTPError, OSError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(
            f"there is no file {name} here, and the dataset of that name cannot be read ({why})."
        ) from error


def _blocks(path: Path) -> Iterator[_Row]:
    """The triplets of a text in the delimited format, each closed by a line END."""
    if not path.is_file():
        raise UserError(f"there is no file {path}: {ACCEPTED}.")
    block: list[str] = []
    for line in _lines(path):
        if isinstance(line, Unread):
            yield line
        elif line != "END":
            block.append(line)
        else:
            parts = _DELIMITED.split("\n".join(block))
            block = []
            yield dict(zip(TRIPLET_COLUMNS, parts, strict=False))
    if block:
        yield Unread("a text without its END", f"the end of {path.name}")


def _split_output(texts: Mapping[str, Any]) -> dict[str, Any]:
    """`caption`/`output` data keeps instruction and edited caption in one text, delimited."""
    output = texts["edited_prompt"]
    if texts["edit_prompt"] is None and isinstance(output, str):
        parts = _DELIMITED.split(output.strip().removesuffix("END").strip())
        if len(parts) == 2:
            return {**texts, "edit_prompt": parts[0], "edited_prompt": parts[1]}
    return dict(texts)


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _counted(rows: Iterable[_Row], tally: Tally) -> Iterator[dict[str, Any]]:
    """The rows that could be read; the others go into the tally."""
    for row in rows:
        tally.seen += 1
        if isinstance(row, Unread):
            tally.reject(row.why, row.where)
        elif any(_is_broken(value) for value in row.values()):
            tally.reject(NOT_UNICODE, _show(row))
        else:
            yield row


def _some(found: list[Any], source: str | Path, tally: Tally, what: str) -> None:
    if found:
        return
    if not tally.seen:
        raise UserError(f"{source} is empty.")
    raise UserError(f"{source} holds no {what}; its rows were rejected: {tally.commonest()}.")


def _show(row: Mapping[str, Any]) -> str:
    return printable(json.dumps(row, ensure_ascii=False, default=str))


def _suffix(source: str | Path) -> str:
    return Path(source).suffix.lower()
