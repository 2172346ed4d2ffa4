"""Every accepted format is read, and one bad row costs that row and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overpaint.data import formats
from overpaint.data.formats import read_captions, read_triplets
from overpaint.errors import UserError
from overpaint.instruct.filters import OVER_LONG, keep_captions
from overpaint.rows import Triplet, triplet_features
from overpaint.shards import write_shard
from overpaint.tally import Tally

ROW = {
    "original_prompt": "a dog",
    "edit_prompt": "make it a cat",
    "edited_prompt": "a cat",
}
READ = Triplet(**ROW)


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        {"input": "a dog", "edit": "make it a cat", "output": "a cat"},
        {"caption": "a dog", "output": "make it a cat\n%%\na cat\nEND"},
        {"original_caption": "a dog", "instruction": "make it a cat", "edited_caption": "a cat"},
    ],
)
def test_the_usual_names_of_columns_are_understood(tmp_path: Path, row: dict[str, str]) -> None:
    tally = Tally()
    assert read_triplets(jsonl(tmp_path / "t.jsonl", row), tally) == [READ]
    assert tally.seen == 0  # whoever cleans the rows counts them


def test_csv_parquet_text_and_folders_give_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("input,edit,output\na dog,make it a cat,a cat\n")
    pq.write_table(pa.Table.from_pylist([{**ROW, "original_image": b"x"}]), tmp_path / "t.parquet")
    (tmp_path / "t.txt").write_text("a dog\n##\nmake it a cat\n%%\na cat\nEND\n")
    jsonl(tmp_path / "folder.jsonl", ROW)
    folder = tmp_path / "folder"
    write_shard(folder, 0, 1, [{**ROW, "kind": None, "seed": 1, "model": "m"}], triplet_features())
    for name in ("t.csv", "t.parquet", "t.txt", "folder"):
        assert read_triplets(tmp_path / name, Tally()) == [READ], name
        if name != "t.txt":
            assert read_captions(tmp_path / name, Tally()) == ["a dog"], name


def test_the_kind_of_a_row_is_read(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "t.jsonl", {**ROW, "kind": "object"})
    assert read_triplets(path, Tally())[0].kind == "object"


def test_bad_rows_are_counted_by_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    good = json.dumps(ROW).encode()
    long = json.dumps({**ROW, "edit_prompt": "x" * (formats.MAX_LINE + 10)}).encode()
    lines = [good, b'{"input": "a d', b'"text"', b'{"input": "a dog"}', b"", b'{"input": "\xff"}']
    path.write_bytes(b"\n".join([*lines, long, good]))
    tally = Tally()
    assert read_triplets(path, tally) == [READ, READ]
    assert tally.rejected == {
        formats.NOT_JSON: 1,
        formats.NOT_A_ROW: 1,
        "no column edit_prompt and edited_prompt": 1,
        formats.NOT_UTF8: 1,
        formats.LINE_TOO_LONG: 1,
    }
    assert tally.seen == 5


def test_a_bad_row_of_a_csv_costs_that_row(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    rows = [b"caption", b"a dog", b"a \xff", b"x" * 2_000_000, b"a cat"]
    path.write_bytes(b"\n".join(rows))
    tally = Tally()
    captions = list(keep_captions(read_captions(path, tally), tally))
    assert captions == ["a dog", "a cat"]
    assert tally.rejected == {formats.NOT_UTF8: 1, OVER_LONG: 1}
    assert (tally.seen, tally.kept) == (4, 2)


def test_invalid_bytes_and_a_huge_caption_in_a_text(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_bytes("\ufeffa dog\n".encode() + b"\xff\xfe\n" + b"x" * 2_000_000 + b"\na cat")
    tally = Tally()
    assert list(keep_captions(read_captions(path, tally), tally)) == ["a dog", "a cat"]
    assert tally.rejected == {formats.NOT_UTF8: 1, OVER_LONG: 1}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("blank.txt", b"\n \n", "is empty"),
        ("bad.jsonl", b"{\n[\n", "2 × no JSON"),
        ("cut.parquet", b"PAR1 and no more", "no whole parquet file"),
        ("x.docx", b"x", "give a .txt"),
        ("other.csv", b"name,age\nx,1\n", "no column original_prompt"),
    ],
)
def test_a_source_without_any_row_is_one_sentence(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words) as raised:
        read_captions(tmp_path / name, Tally())
    assert name in str(raised.value)


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    for name in ("none.jsonl", "none/such.csv", str(tmp_path / "none")):
        with pytest.raises(UserError, match="there is no file or folder"):
            read_captions(name, Tally())
    (tmp_path / "void").mkdir()
    with pytest.raises(UserError, match="holds no rows"):
        read_captions(tmp_path / "void", Tally())


def test_a_dataset_id_that_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file nobody/nothing-here here, and the dataset"):
        read_captions("nobody/nothing-here", Tally())


def test_the_data_folder_alone_can_be_read(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, 1, [{**ROW, "kind": "add"}], triplet_features())
    assert list(read_triplets(tmp_path / "data", Tally())) == list(read_triplets(tmp_path, Tally()))


def test_a_folder_that_lacks_shards_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, 2, [{**ROW, "kind": "add"}], triplet_features())
    with pytest.raises(UserError, match="lacks 1 of its 2 shards"):
        read_triplets(tmp_path, Tally())


def test_a_number_of_thousands_of_digits_costs_its_line(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "t.jsonl", ROW)
    path.write_text(path.read_text() + '{"original_prompt": ' + "9" * 5000 + "}\n")
    tally = Tally()
    assert read_triplets(path, tally) == [READ]
    assert tally.rejected == {formats.NOT_JSON: 1}


def test_what_lies_in_a_folder_here_is_no_dataset_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a missing folder would be looked for on the hub, and a stranger's data be found."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    with pytest.raises(UserError, match="there is no file or folder demo/triplets"):
        read_triplets("demo/triplets", Tally())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl"])
def test_texts_are_read_in_the_encoding_of_their_mark(
    tmp_path: Path, encoding: str, suffix: str
) -> None:
    path = tmp_path / f"captions{suffix}"
    texts = {".txt": "a café\n\n猫と犬\n", ".csv": "caption\na café\n猫と犬\n"}
    texts[".jsonl"] = '{"caption": "a café"}\n{"caption": "猫と犬"}\n'
    path.write_text(texts[suffix], encoding=encoding)
    tally = Tally()
    assert read_captions(path, tally) == ["a café", "猫と犬"]
    assert not tally.rejected


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_said(tmp_path: Path, encoding: str, suffix: str) -> None:
    path = tmp_path / f"captions{suffix}"
    path.write_text("caption\na cat\n", encoding=encoding)
    with pytest.raises(UserError, match=r"perhaps it is UTF-16 .*: save it as UTF-8"):
        read_captions(path, Tally())


def test_a_line_that_is_no_text_costs_itself_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "captions.txt"
    path.write_bytes("a cat\na caf\xe9\n\na dog\n".encode("latin-1"))
    tally = Tally()
    assert read_captions(path, tally) == ["a cat", "a dog"]
    assert tally.examples == {"invalid UTF-8": ["line 2 of captions.txt"]}
    path.write_bytes("a cat\na dog\nx".encode("utf-16")[:-1])
    tally = Tally()
    assert read_captions(path, tally) == ["a cat", "a dog"]
    assert tally.examples == {"invalid UTF-16": ["line 3 of captions.txt"]}
    path.write_bytes(
        b"\xff\xfe" + "a cat\na \udc00 dog\nend\n".encode("utf-16-le", "surrogatepass")
    )
    tally = Tally()
    assert read_captions(path, tally) == ["a cat", "end"]
    assert tally.examples == {"invalid UTF-16": ["line 2 of captions.txt"]}


@pytest.mark.parametrize(
    "line",
    ['{"caption": "\\ud800"}', '{"caption": "x", "other": "\\udfff"}', "[" * 50_000, "[1]", "5",
     '{"caption": ' + "9" * 5000 + "}", "{", "null", '{"caption": null}', '{"caption": {"a": 1}}',
     '{"\\u001b[31m": "\\u202e"}'],
    ids=range(11),
)  # fmt: skip
def test_a_row_of_any_shape_costs_itself(tmp_path: Path, line: str) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text('{"caption": "a cat"}\n' + line + '\n{"caption": "a dog"}\n')
    tally = Tally()
    assert read_captions(path, tally) == ["a cat", "a dog"]
    assert tally.rejected.total() == 1
    (examples,) = tally.examples.values()
    assert examples[0].isprintable()


def test_invalid_text_in_parquet_costs_its_row(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = pa.array([b"a cat", b"\xff\xfe", b"a dog"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"caption": text}), tmp_path / "x.parquet")
    tally = Tally()
    assert read_captions(tmp_path / "x.parquet", tally) == ["a cat", "a dog"]
    assert tally.examples == {"invalid UTF-8": ["row 1 of x.parquet"]}
