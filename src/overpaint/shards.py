"""A dataset as a folder of parquet shards.

    DIR/README.md                           a card that says what it is and where the data lies
    DIR/data/train-00000-of-00008.parquet   one shard: the unit of work, written whole or not at all

A row's key is a hash of its content; the key decides the shard and the seed. So the rows do
not depend on the order or number of workers, and a rerun does only the shards that are missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from overpaint.artifact import refuse_damage
from overpaint.data.parquet import ParquetRows
from overpaint.errors import UserError
from overpaint.files import write_atomic
from overpaint.rows import NEEDED_PAIR_COLUMNS
from overpaint.seeds import derive_seed

if TYPE_CHECKING:
    from datasets import Features

RowT = TypeVar("RowT")

ROWS_PER_GROUP = 256  # bounds what a writer holds in memory at once
PICTURES_PER_GROUP = 8  # the same for rows of pictures; to read one is to read so many

_SHARD_NAME = re.compile(r"train-(\d{5,})-of-(\d{5,})\.parquet")


def row_key(*texts: str) -> str:
    """The key of a row (32 hex digits): a hash of its texts, in their order."""
    digest = blake2b(digest_size=16)
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def row_seed(seed: int, key: str) -> int:
    """The seed for everything random about the row with this key, in [0, 2**63)."""
    return derive_seed(seed, "row", key)


def shard_of(key: str, count: int) -> int:
    """Which of `count` shards the row with this key belongs to."""
    return int(key, 16) % count


def split(rows: Iterable[RowT], key: Callable[[RowT], str], per_shard: int) -> list[list[RowT]]:
    """The rows of each shard, in the order of their keys; about `per_shard` in each.

    `key` gives a row's key (`row_key`). A shard may have no rows.
    """
    keyed = sorted(((key(row), row) for row in rows), key=lambda pair: pair[0])
    count = -(-len(keyed) // per_shard)
    shards: list[list[RowT]] = [[] for _ in range(count)]
    for own, row in keyed:
        shards[shard_of(own, count)].append(row)
    return shards


def shard_path(folder: str | Path, index: int, count: int) -> Path:
    """Where shard `index` of `count` lies."""
    return Path(folder, "data", f"train-{index:05d}-of-{count:05d}.parquet")


def missing_shards(folder: str | Path, count: int) -> list[int]:
    """The shards that are still to be written, in order.

    Raises:
        UserError: the folder holds shards of another number, that is, another dataset.
    """
    found = _shards_in(Path(folder, "data"))
    counts = {of for _, of in found} - {count}
    if counts:
        raise UserError(
            f"{folder} already holds a dataset of {counts.pop()} shards, and {count} are to be "
            "written: choose another folder or delete this one."
        )
    done = {index for index, _ in found}
    return [index for index in range(count) if index not in done]


def count_shards(folder: str | Path) -> tuple[int, int]:
    """How many shards are there, and how many there will be: (0, 0) before the first."""
    found = _shards_in(Path(folder, "data"))
    return len(found), max((of for _, of in found), default=0)


def write_shard(
    folder: str | Path,
    index: int,
    count: int,
    rows: Iterable[Mapping[str, Any]],
    features: Features,
) -> Path:
    """Write one shard whole or not at all; `rows` are taken one group at a time, in order.

    A row maps the names in `features` to values; an image is `{"bytes": ..., "path": None}`.

    Raises:
        UserError: it cannot be written (full disk, folder not writable, ...).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = features.arrow_schema
    path = shard_path(folder, index, count)

    def write(aside: Path) -> None:
        with pq.ParquetWriter(aside, schema, write_page_checksum=True) as writer:
            for group in _groups(rows, _per_group(features)):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))

    write_atomic(path, write)
    return path


def write_card(folder: str | Path, title: str, text: str, license: str | None = None) -> None:
    """Write `README.md`, which tells dataset loaders where the shards lie."""
    head = [f"license: {license}"] if license else []
    head += ["configs:", "- config_name: default", "  data_files: data/train-*.parquet"]
    card = "\n".join(["---", *head, "---", f"# {title}", "", text.strip(), ""])
    write_atomic(Path(folder, "README.md"), card.encode())


def read_pairs(folder: str | Path) -> ParquetRows:
    """Read a folder of pairs where they lie; pictures stay as they are stored.

    Columns beyond `NEEDED_PAIR_COLUMNS` may be absent: public data has no others.

    Raises:
        UserError: there is no such folder, shards are missing, or one cannot be read.
    """
    paths = _whole_dataset(Path(folder))
    rows = ParquetRows(paths, folder)
    absent = [name for name in NEEDED_PAIR_COLUMNS if name not in rows.column_names]
    if absent:
        raise UserError(f"{paths[0]} has no column {' or '.join(absent)}: these are not pairs.")
    if not len(rows):
        raise UserError(f"{folder} holds no pairs: all its shards are empty.")
    return rows


def check_complete(data: Path) -> int:
    """How many shards a folder of shards has; 0 where none of its files is a shard.

    Raises:
        UserError: some are missing, not what was written, or of several datasets.
    """
    found = _shards_in(data)
    counts = sorted({of for _, of in found})
    if len(counts) > 1:
        raise UserError(
            f"{data} holds shards of two datasets, of {counts[0]} and of {counts[1]} shards: "
            "take those of one of them away."
        )
    count = counts[0] if counts else 0
    missing = sorted(set(range(count)) - {index for index, _ in found})
    if missing:
        some = ", ".join(str(index) for index in missing[:5]) + ", ..." * (len(missing) > 5)
        raise UserError(
            f"{data} lacks {len(missing)} of its {count} shards ({some}): "
            "run the command that wrote it once more, it will do only these."
        )
    if count:
        refuse_damage(data.parent, data)
    return count


def _shards_in(data: Path) -> list[tuple[int, int]]:
    """(index, count) of every shard that is there."""
    names = sorted(path.name for path in data.iterdir()) if data.is_dir() else []
    matches = [_SHARD_NAME.fullmatch(name) for name in names]
    return [(int(match[1]), int(match[2])) for match in matches if match]


def _whole_dataset(folder: Path) -> list[Path]:
    """The paths of all shards of a finished dataset."""
    if not folder.is_dir():
        what = f"{folder} is a file" if folder.exists() else f"there is no folder {folder}"
        raise UserError(
            f"{what}: give a folder that `overpaint pairs` or `overpaint scenes` wrote."
        )
    count = check_complete(folder / "data")
    if not count:
        raise UserError(
            f"{folder} holds no dataset: it has no files data/train-00000-of-0000N.parquet."
        )
    return [shard_path(folder, index, count) for index in range(count)]


def _per_group(features: Features) -> int:
    from datasets import Image

    pictures = any(isinstance(feature, Image) for feature in features.values())
    return PICTURES_PER_GROUP if pictures else ROWS_PER_GROUP


def _groups(rows: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(rows)
    while group := list(islice(iterator, size)):
        yield group
