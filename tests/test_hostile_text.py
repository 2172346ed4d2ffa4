"""Words of strangers reach a terminal as one line, without control characters and without keys."""

from __future__ import annotations

import json
import pickle
import sys
import unicodedata
from pathlib import Path
from types import ModuleType

import pytest

from overpaint import cli
from overpaint.cli import _output, main
from overpaint.errors import UserError
from overpaint.files import read_bytes, read_json
from overpaint.progress import Progress
from overpaint.text import printable, printable_lines

HOSTILE = [
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07x", "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x1b[2J\x1b[Hgone", "\x1bP1$rq\x1b\\x", "\x1bc", "\x1b(0", "\x9b31m", "\x9d0;t\x9cx", "\x1b",
    "\x1b[", "a\nb", "a\r\nb", "a\rb", "a\tb", "a\x0bb\x0cc", "a\x85b", "a\u2028b\u2029c",
    "a\0b", "a\x07\x08b", "a\x7fb", "a\u202egnp.exe", "\u202aa\u202bb\u202cc\u202dd",
    "\u2066a\u2067b\u2068c\u2069", "a\u200eb\u200fc\u061cd", "a\u200bb\ufeffc\u00add",
    "\ud800", "a\udcffb", "\udbff\udfff", "\U000e0041tag", "\x1b[31" + ";1" * 5000 + "m",
    "\x1b]" + "x" * 5000, "\x01\x02\x03\x04\x05\x06", "ok\x1b[6n", "\x1b[?1049h", "\x1b%G",
]  # fmt: skip


def assert_plain(text: str) -> None:
    kinds = {unicodedata.category(c) for c in text if c not in "\u200c\u200d"}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    text.encode()


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_sentence_is_one_plain_line_wherever_it_is_printed(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = str(UserError(f"cannot read {text}.png: no."))
    assert_plain(sentence)
    assert sentence.startswith("cannot read ")
    assert sentence.endswith("no.")  # also after a sequence without its end
    assert_plain(printable(text))
    assert_plain(printable_lines(text).replace("\n", ""))
    _output.say(f"note: {text}")
    _output.echo(f"row {text}")
    with Progress(text, total=1) as progress:
        progress.advance(1, f"note {text}")
    out, err = capsys.readouterr()
    assert_plain(out.replace("\n", ""))
    assert_plain(err.replace("\n", ""))
    _output.print_json({"name": text})
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert json.loads(shown)["name"].encode("utf-16", "surrogatepass") == text.encode(
        "utf-16", "surrogatepass"
    )


@pytest.mark.parametrize("kind", ["UserError", "another error", "no such file", "usage"])
@pytest.mark.parametrize("text", HOSTILE[:24:3], ids=range(8))
def test_the_runner_prints_plain_words_whatever_went_wrong(
    kind: str, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def boom() -> None:
        """Raise."""
        if kind == "UserError":
            raise UserError(f"no {text}.")
        if kind == "no such file":
            raise OSError(2, "No such file", f"/x/{text}")
        raise RuntimeError(f"no {text}")

    module = ModuleType("overpaint.cli.boom")
    module.boom = boom  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "overpaint.cli.boom", module)
    monkeypatch.setattr(cli, "COMMANDS", ("boom",))
    monkeypatch.delenv("OVERPAINT_TRACEBACK", raising=False)
    words = ["boom", f"extra{text}"] if kind == "usage" else ["boom"]
    assert main(words) == (2 if kind == "usage" else 1)
    out, err = capsys.readouterr()
    assert out == ""
    assert_plain(err.replace("\n", ""))
    assert kind == "usage" or err.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "猫を犬に変える", "cão, gâteau, Ünï", "می‌خواهم", "हिन्दी में", "👩‍🚀 in space", "a – b … “c”",
        "Привет, мир", "ภาษาไทย", "x: y; z = 1_000 (5 %)", "half² ½",
    ],
)  # fmt: skip
def test_words_of_all_languages_stay(text: str) -> None:
    assert printable(text) == text
    assert str(UserError(text)) == text


def test_tables_keep_their_columns() -> None:
    table = "kind     rows  share\nadd         3   0.5\n\n  total     6"
    assert printable_lines(table) == table
    assert printable_lines("a\x1b[1m   b\n\u202ec") == "a   b\nc"


def test_a_sentence_survives_another_process() -> None:
    assert str(pickle.loads(pickle.dumps(UserError("a\nb")))) == "a b"


@pytest.mark.parametrize("cut", [slice(0, 12), slice(-12, None), slice(5, 15)])
def test_pieces_of_a_key_are_not_repeated(cut: slice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server or a limit on length may have cut it short."""
    key = "q7Zp2-Lm9x.Ab31_Yt"
    monkeypatch.setenv("SOME_API_KEY", key)
    said = printable(f"the key {key[cut]}... is wrong, twice: {key[cut]}")
    assert said == "the key ***... is wrong, twice: ***"
    assert printable("q7Zp2 and Yt are too short") == "q7Zp2 and Yt are too short"


def test_the_place_of_a_key_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_KEY", "/home/somebody/keys/server.pem")
    assert "/home/somebody/pictures" in printable("no picture in /home/somebody/pictures")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Incorrect key: sk-abcdefghijkl1234567", "abcdefghijkl1234567"),
        ("token hf_abcdefghijklmnopqrst", "abcdefghijklmnopqrst"),
        ("Authorization: Bearer abcdef.123456", "abcdef.123456"),
        ("http://user:hunter2@host/v1", "hunter2"),
        ("it is my-own-endpoint-key here", "my-own-endpoint-key"),
        ("it is my-own-\x00endpoint\u200b-key here", "my-own-endpoint-key"),
        ("it is my-own-\x1b[31mendpoint-key here", "my-own-endpoint-key"),
        ("given short", "short"),
    ],
)
def test_keys_are_not_repeated(text: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "my-own-endpoint-key")
    assert secret not in printable(text, secrets=("short", ""))
    assert "***" in printable(text, secrets=("short", ""))


JSON = {
    "empty": (b"", "no whole JSON"), "cut": (b'{"a": [1, 2', "no whole JSON"),
    "deep": (b"[" * 100_000, "nested too deeply"), "deep table": (b'{"a":' * 100_000, "deeply"),
    "digits": (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"), "list": (b"[]", "a list"),
    "number": (b"5", "a number"), "null": (b"null", "nothing"), "text": (b'"x"', "a text"),
    "bool": (b"true", "true or false"), "bytes": (b"\xff\xfe\xfd\xfc", "no whole JSON"),
    "latin": (b'{"a": "\xe9"}', "no text in UTF-8"), "two": (b"{}{}", "no whole JSON"),
    "comment": (b"{} // x", "no whole JSON"), "nul": (b"\0" * 100, "no whole JSON"),
    "escape": (b'{"\x1b[31m": }', "no whole JSON"), "html": (b"<html>", "no whole JSON"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(JSON))
def test_json_of_any_shape_is_one_sentence(kind: str, tmp_path: Path) -> None:
    content, words = JSON[kind]
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_json(path, dict)
    assert_plain(str(caught.value))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_of_every_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": "猫"}', encoding=encoding)
    assert read_json(tmp_path / "x.json", dict) == {"a": "猫"}


def test_what_is_no_small_ordinary_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "big.json").write_bytes(b" " * (65 << 20))
    for path, words in (("big.json", "larger than 64 MiB"), ("none.json", "no such file"),
                        ("", "is a directory"), ("/dev/zero", "no ordinary file")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            read_json(tmp_path / path, dict)
    with pytest.raises(UserError, match="null byte"):
        read_bytes("a\0b", 10)
