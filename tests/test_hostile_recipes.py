"""A recipe of any content is read, or refused in one plain sentence, quickly and without harm."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from overpaint.errors import UserError
from overpaint.recipe import read_recipe
from watching import nothing_outside


class Block(BaseModel):
    """A stage's settings."""

    model_config = ConfigDict(extra="forbid")
    steps: int = 1
    words: list[str] = []
    mix: dict[str, float] = {}


def laughs(levels: int) -> str:
    lines = ["a: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    for level in range(1, levels):
        lines.append(f"b{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]")
    return "\n".join(lines)


RECIPES = {
    "billion laughs": (laughs(10), "more than 20,000 values"),
    "laughs in a block": ("train:\n words: " + laughs(9).replace("\n", "\n "), "no YAML|values"),
    "itself": ("name: &a [*a]", "contains itself"),
    "itself below": ("train: &a {words: {x: *a}}", "contains itself"),
    "deep list": ("train: " + "[" * 400, "nested too deeply|no YAML"),
    "deep table": ("\n".join(" " * n + "a:" for n in range(500)), "nested too deeply"),
    "deep dashes": ("- " * 5000, "nested too deeply"),
    "deep and closed": ("name: " + "[" * 300 + "]" * 300, "nested too deeply|valid string"),
    "number key": ("1: x", "a key must be a name"),
    "null key": ("~: x", "a key must be a name"),
    "true key": ("true: x", "a key must be a name"),
    "list key": ("? [a]\n: b", "a key must be a name"),
    "table key": ("? {a: b}\n: b", "a key must be a name"),
    "number key below": ("train: {mix: {1: 0.5}}", "a key must be a name"),
    "merge": ("<<: {name: x}", "a merge of keys"),
    "python": ("name: !!python/object/apply:os.system ['touch pwned']", "no YAML"),
    "python name": ("name: !!python/name:os.system", "no YAML"),
    "own tag": ("name: !evil x", "no YAML"),
    "not a float": ("seed: !!float zzz", r"line 1.*cannot be read as (int|float|bool)"),
    "not an int": ("seed: !!int zzz", r"line 1.*cannot be read as (int|float|bool)"),
    "a time": ("seed: !!timestamp 2020-01-01", "timestamp', which has no meaning here"),
    "a day": ("name: 2020-01-01", "in quotes it is a word"),
    "not a bool": ("seed: !!bool zzz", r"line 1.*cannot be read as (int|float|bool)"),
    "binary": ("name: !!binary //79", "binary', which has no meaning here"),
    "set": ("name: !!set {a}", "set', which has no meaning here"),
    "digits": ("seed: " + "9" * 5000, "cannot be read as int|less than"),
    "hex digits": ("seed: !!int 0x" + "f" * 6000, "thousands of digits"),
    "infinity": ("seed: 1e999", "finite"),
    "escape": ("name: a\x1b[31mb", "control character"),
    "escaped escape": ('name: "a\\x1b[31mb"', "should match"),
    "escape in a key": ('"\\x1b[31mevil\\u202e\\n": 1', "evil .*no known key"),
    "surrogate": ('name: "\\ud800"', "unicode"),
    "nul": ("na\0me: x", "control character"),
    "long key": ("? " + "x" * 5000 + "\n: 1", "no known key"),
    "long value": ("name: " + "é" * 5000, "should match"),
    "list": ("- a", "must hold keys and values"),
    "word": ("x", "must hold keys and values"),
    "two documents": ("name: x\n---\nname: y", "no YAML"),
    "unknown alias": ("name: *x", "undefined alias"),
    "tab": ("train:\n\tsteps: 1", "no YAML"),
    "pairs": ("train: !!pairs [steps: 1]", "pairs', which has no meaning here"),
    "ordered pairs": ("train: !!omap [steps: 1]", "omap', which has no meaning here"),
    "a long tag": ("name: !" + "x" * 5000 + " y", "which has no meaning here"),
    "a megabyte of values": ("name: [" + "1," * 500_000 + "]", "more than 20,000 values"),
    "twice": ("name: x\nname: y", "stands twice"),
    "json cut": ('{"name": ', "no YAML"),
    "html": ("<html><body>x</body></html>", "must hold keys|no YAML"),
    "many keys": ("\n".join(f"k{n}: 1" for n in range(300)), "and 290 more"),
    "block is a list": ("train: [1]", "must hold keys and values"),
    "block is a word": ("train: x", "must hold keys and values"),
}


@pytest.mark.parametrize("kind", list(RECIPES))
def test_a_recipe_is_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    text, words = RECIPES[kind]
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with nothing_outside(tmp_path), pytest.raises(UserError, match=words) as caught:
        read_recipe(path, {"train": Block})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    assert str(caught.value).isprintable()
    assert not Path("pwned").exists()
    assert len(str(caught.value)) - len(str(path)) < 600


@pytest.mark.parametrize("kind", ["billion laughs", "itself", "python", "not an int", "deep list"])
def test_a_value_on_the_command_line_is_refused_alike(kind: str) -> None:
    text = RECIPES[kind][0].partition(": ")[2].splitlines()[0]
    text = "[" * 400 if kind == "deep list" else text
    with pytest.raises(UserError) as caught:
        read_recipe(None, {"train": Block}, [f"name={text}"])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_encodings_are_read_or_said(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: cafe\ntrain: {words: [café]}\n", encoding=encoding)
    if encoding in ("utf-16-le", "latin-1"):
        with pytest.raises(UserError, match=r"line 2 is no UTF-8 text|control character"):
            read_recipe(path, {"train": Block})
    else:
        recipe = read_recipe(path, {"train": Block})
        assert recipe.block("train", Block).words == ["café"]


def test_what_is_no_small_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "big.yaml").write_bytes(b"#" * (2 << 20))
    for name, words in (("pipe.yaml", "no ordinary file"), ("big.yaml", "larger than 1 MiB")):
        with pytest.raises(UserError, match=words):
            read_recipe(tmp_path / name, {})


def test_an_anchor_of_ordinary_size_may_be_used(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\ntrain: {words: &w [a, b], mix: {x: 1}}\nother: {words: *w}\n")
    recipe = read_recipe(path, {"train": Block, "other": Block})
    assert recipe.block("other", Block).words == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("%YAML 1.2\n---\nname: x\ntrain: {words: [yes]}\n", ["yes"]),
        ("%TAG !e! tag:example,2000:\n---\nname: x\ntrain: {words: [on]}\n...\n", ["on"]),
        ("name: &a x\ntrain: {words: [&a z, *a]}\n", ["z", "z"]),
        ("\ufeffname: x\r\ntrain:\r\n  words: [a]\r\n", ["a"]),
    ],
    ids=["version", "tag prefix", "anchor used twice", "mark and CRLF"],
)
@pytest.mark.filterwarnings("error")
def test_what_yaml_allows_is_read_without_a_word(
    text: str, words: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text.encode())
    assert read_recipe(path, {"train": Block}).block("train", Block).words == words
