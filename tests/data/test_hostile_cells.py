"""A cell of a data set opens nothing outside of it, in whatever stage it is read."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from overpaint.artifact import Artifact
from overpaint.data.cells import pairs_digest, picture_of, text_of
from overpaint.data.formats import read_rows
from overpaint.data.parquet import ParquetRows
from overpaint.errors import UserError
from overpaint.evaluation.sources import read_cases
from overpaint.rows import PAIR_COLUMNS, pair_features, png_bytes
from overpaint.shards import read_pairs, shard_path, write_shard
from watching import nothing_outside


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


RED = Image.new("RGB", (16, 16), "red")
GOOD = encoded(RED)
NOISE = Image.effect_noise((64, 64), 80).convert("RGB")


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set's folder `set`, and beside it a picture that no cell may reach."""
    root = tmp_path_factory.mktemp("around")
    (root / "secret.png").write_bytes(GOOD)
    (root / "set-2").mkdir()
    (root / "set-2" / "secret.png").write_bytes(GOOD)
    inside = root / "set"
    (inside / "sub").mkdir(parents=True)
    (inside / "own.png").write_bytes(GOOD)
    (inside / "sub" / "own.png").write_bytes(GOOD)
    (inside / "link.png").symlink_to(root / "secret.png")
    (inside / "dots.png").symlink_to("../secret.png")
    (inside / "up").symlink_to(root)
    (inside / "again.png").symlink_to("link.png")
    (inside / "circle.png").symlink_to("circle.png")
    (inside / "zero.png").symlink_to("/dev/zero")
    (inside / "inner.png").symlink_to("sub/own.png")
    os.mkfifo(inside / "pipe.png")
    return root


PATHS = [
    "/etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/stdin", "/", "..", ".", "sub",
    "../secret.png", "sub/../../secret.png", "./../secret.png", "../set-2/secret.png",
    "../set/../secret.png", "sub/../../set-2/secret.png", "link.png", "dots.png", "again.png",
    "up/secret.png", "up/set-2/secret.png", "circle.png", "zero.png", "pipe.png", "none.png",
    "~/.bashrc", "$HOME/x.png", "..\\secret.png", "%2e%2e/secret.png", "a\0b.png", "x" * 5000,
    "x/" * 3000, "\ud800.png", "own.png\n/etc/passwd", "http://127.0.0.1:9/x.png",
    "https://example.com/x.png", "HTTP://example.com/x.png", "ftp://example.com/x.png",
    "file:///etc/passwd", "data:image/png;base64,AAAA", "hf://datasets/a/b/x.png",
    "s3://bucket/x.png", "zip://own.png::http://example.com/x.zip", "//example.com/x.png",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_a_path_opens_nothing_outside_of_the_set(around: Path, path: str) -> None:
    refused({"bytes": None, "path": path}, around / "set")


def refused(cell: Any, folder: Path) -> str:
    """The sentence in which a cell is refused, with nothing opened outside of the set."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with nothing_outside(folder), pytest.raises(UserError) as caught:
        picture_of(cell, folder, "row 3 of set, edited_image")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # KiB
    sentence = str(caught.value)
    assert sentence.startswith("row 3 of set, edited_image")
    assert sentence.isprintable()
    assert len(sentence) < 500
    return sentence


def test_an_absolute_path_to_the_picture_outside_is_refused(around: Path) -> None:
    sentence = refused({"path": str(around / "secret.png")}, around / "set")
    assert "lies outside of the data set's folder" in sentence


@pytest.mark.parametrize("path", ["own.png", "sub/own.png", "sub/../own.png", "inner.png"])
def test_a_path_inside_of_the_set_is_read(around: Path, path: str) -> None:
    with nothing_outside(around / "set"):
        image = picture_of({"bytes": None, "path": path}, around / "set", "row 0")
    assert image.tobytes() == RED.tobytes()


def test_bytes_are_taken_and_the_path_beside_them_is_only_a_name(around: Path) -> None:
    with nothing_outside(around / "set"):
        image = picture_of({"bytes": GOOD, "path": "/etc/passwd"}, around / "set", "row 0")
        assert picture_of(GOOD, around / "set", "row 0").tobytes() == image.tobytes()
        assert picture_of(bytearray(GOOD), around / "set", "row 0").tobytes() == image.tobytes()


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.png", bytes(1_000_000))
    return stream.getvalue()


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + data + chunk(b"IEND", b"")


CONTENTS: dict[str, bytes] = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n(x) run\n",
    "EPS with a preview": b"\xc5\xd0\xd3\xc6" + struct.pack("<7I", 32, 900, 0, 0, 0, 0, 0),
    "PDF": b"%PDF-1.4\n1 0 obj<</S/URI/URI(http://example.com)>>endobj",
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<4hH", 0, 0, 64, 64, 72) + bytes(100),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "HTML": b"<html><img src='http://example.com/x.png'></html>",
    "a pickle": pickle.dumps(_Evil()),
    "a zip": zipped(),
    "an address": b"http://127.0.0.1:9/x.png",
    "a path": b"/etc/passwd",
    "IPTC that holds EPS": b"\x1c\x03\x3c\x00\x02\x01\x01" + b"%!PS-Adobe-3.0 EPSF-3.0\n" * 9,
    "text": b"Dear Sir or Madam,\n" * 5,
    "zeros": bytes(1000),
    "a byte": b"\x89",
    **{f"a bomb of {n}": png_of(n, n) for n in (11_000, 50_000, 2**31 - 1)},
    "no pixels": png_of(0, 0),
    "a thin picture": png_of(1, 90_000_000),
    **{
        f"{kind} cut at {share}": encoded(NOISE, kind)[: int(len(encoded(NOISE, kind)) * share)]
        for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000")
        for share in (0.1, 0.6)
    },
}


@pytest.mark.parametrize("kind", list(CONTENTS))
def test_content_that_is_no_whole_still_picture_is_refused(around: Path, kind: str) -> None:
    refused({"bytes": CONTENTS[kind], "path": None}, around / "set")
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    "cell",
    [
        *(None, {}, 5, 1.5, True, "own.png", [1, 2], [], b"", float("nan")),
        *({"bytes": "own.png"}, {"bytes": [1]}, {"path": 5}, {"bytes": b"", "path": ""}),
        *({"bytes": None, "path": None}, {"bytes": {"path": "own.png"}}, {"url": "own.png"}),
    ],
    ids=repr,
)
def test_a_cell_of_another_shape_holds_no_picture(around: Path, cell: Any) -> None:
    assert "holds no picture" in refused(cell, around / "set")


@pytest.mark.parametrize("cell", [None, "", "  ", 5, b"x", ["x"], {"text": "x"}], ids=repr)
def test_a_text_that_is_none_is_refused(cell: Any) -> None:
    with pytest.raises(UserError, match="row 3, edit_prompt is empty"):
        text_of(cell, "row 3, edit_prompt")


def test_training_and_evaluation_refuse_alike(around: Path) -> None:
    """One decoder: what one stage refuses, the other refuses with the same words."""
    from overpaint.training.latents import read_pair

    folder = around / "set"
    cells = [{"bytes": None, "path": path} for path in PATHS if path.isprintable()]
    cells += [{"bytes": content, "path": None} for content in CONTENTS.values()]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "original_image": pa.array([{"bytes": GOOD, "path": None}] * len(cells), kind),
            "edit_prompt": ["make it red"] * len(cells),
            "edited_image": pa.array(cells, kind),
        }
    )
    path = shard_path(folder, 0, 1)
    path.parent.mkdir()
    pq.write_table(table, path, row_group_size=16)
    pairs, cases = read_pairs(folder), read_cases(folder)
    for row in range(len(cells)):
        said = []
        for read in (lambda n: read_pair(pairs, n), cases.read):
            with nothing_outside(folder), pytest.raises(UserError) as caught:
                read(row)  # type: ignore[operator]
            said.append(str(caught.value).partition("edited_image")[2])
        assert said[0] == said[1] != ""


def test_a_row_group_of_equal_values_is_not_unpacked_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dictionary of one long value makes gigabytes of a few kilobytes."""
    from overpaint.data import parquet

    monkeypatch.setattr(parquet, "MAX_GROUP_BYTES", 16 << 20)
    one = pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), ["x" * 1_000_000])
    columns: dict[str, Any] = {"original_image": ["x"] * 3000, "edit_prompt": one}
    path = shard_path(tmp_path, 0, 1)
    path.parent.mkdir()
    pq.write_table(pa.table(columns | {"edited_image": ["x"] * 3000}), path, store_schema=False)
    assert path.stat().st_size < 2 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="has a row group of more than"):
        read_pairs(tmp_path)[2999]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


def test_a_shard_replaced_with_its_old_time_gives_its_new_rows(tmp_path: Path) -> None:
    """The libraries' cache knows files by name and time, and would give the old ones."""
    path = shard_path(tmp_path, 0, 1)
    path.parent.mkdir()

    def write(text: str) -> None:
        columns = {"original_image": [GOOD], "edit_prompt": [text], "edited_image": [GOOD]}
        pq.write_table(pa.table(columns), path)
        os.utime(path, ns=(10**18, 10**18))

    write("make it red")
    old = read_pairs(tmp_path)
    assert old[0]["edit_prompt"] == "make it red"
    write("make it big")
    assert read_pairs(tmp_path)[0]["edit_prompt"] == "make it big"
    assert read_pairs(tmp_path)["edit_prompt"] == ["make it big"]
    with pytest.raises(UserError, match="was changed while it was being read"):
        old["edit_prompt"]


def test_flips_of_a_shard_are_noticed_or_do_not_matter(tmp_path: Path) -> None:
    """The folder says what was written into it, and pages carry checksums besides."""
    from overpaint.rows import Pair, pair_features
    from overpaint.shards import write_shard

    def row(number: int) -> dict[str, Any]:
        return Pair(
            original_prompt=f"a cat {number}", edit_prompt="make it red", edited_prompt="a red cat",
            original_image=RED, edited_image=RED, seed=number,
        ).to_row()  # fmt: skip

    artifact = Artifact(tmp_path, {"stage": "pairs"}, tmp_path / "data")
    with artifact.being_made():
        path = write_shard(tmp_path, 0, 1, [row(n) for n in range(40)], pair_features())
        artifact.finish()
    whole, rows = path.read_bytes(), list(read_pairs(tmp_path))
    draw = np.random.default_rng(0)
    pages = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # before the footer
    noticed = 0
    for place in draw.integers(0, len(whole), 60).tolist():
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(bytes(flipped))
        for read in (read_pairs, read_rows):
            with pytest.raises(UserError, match="is not what was written there"):
                list(read(tmp_path))
        if place < pages:  # without its origin it is other people's data
            try:
                assert list(ParquetRows([path], tmp_path)) == rows
            except UserError:
                noticed += 1
    assert noticed > 5  # the others hit what no reader looks at


@pytest.mark.parametrize("place", ["images/b.png", "c.md", ".hidden/d.png"])
def test_pictures_that_cells_name_belong_to_what_is_made_from_them(
    tmp_path: Path, place: str
) -> None:
    """A data set's digest sees them wherever in its folder they lie."""
    root = tmp_path / "pairs"
    picture = root / place
    picture.parent.mkdir(parents=True)
    picture.write_bytes(png_bytes(Image.new("RGB", (16, 16), "red")))
    cells = {"bytes": None, "path": place}
    row = {
        "original_prompt": "a cat",
        "edit_prompt": "make it red",
        "edited_prompt": "a red cat",
        "original_image": cells,
        "edited_image": {"bytes": picture.read_bytes(), "path": "/not/here.png"},
    }
    write_shard(root, 0, 1, [{**dict.fromkeys(PAIR_COLUMNS), **row}], pair_features())
    before = pairs_digest(read_pairs(root)), read_cases(root).settings["sha256"]
    assert len(set(before)) == 1
    picture.write_bytes(png_bytes(Image.new("RGB", (16, 16), "blue")))
    after = pairs_digest(read_pairs(root)), read_cases(root).settings["sha256"]
    assert len({*before, *after}) == 2


def test_pillow_says_nothing_beside_our_sentence(tmp_path: Path) -> None:
    """Some decoders log what they raise, which Python prints where nobody listens."""
    entries = [(256, 4, 100), (257, 4, 100), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 65535)]
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    path = tmp_path / "odd.tif"
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4))
    code = f"from overpaint.images import load_image; load_image({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "More samples" not in done.stderr.partition("Traceback")[0]
    assert "UserError" in done.stderr
