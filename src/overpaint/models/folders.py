"""What lies in a model's folder, looked at before any library opens it.

A folder may come from anyone. Its tables are read here with limits of size and shape, what would
make a library run code or fetch something else is refused in words, and the shapes of the weights
are read from their headers, so that nothing is built that the file could not fill.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from overpaint.errors import UserError
from overpaint.files import parse_json, read_json
from overpaint.models.names import PICKLES, refuse_pickle

LARGEST_TABLE = 16 << 20  # bytes of a JSON file that is no vocabulary
LARGEST_TEXT = 64 << 20  # bytes of a vocabulary, the largest of which have 35 MB
_MOST_GROWTH = 256  # times as long as a text was before a tokenizer's replacements
MOST_LAYERS = 100_000  # more of anything that is counted in a configuration is nonsense

# Tables that a library acts upon; vocabularies are data, and may be large.
_TABLES = re.compile(r"(\w+_)?config\.json|model_index\.json")
_READ_WHOLE = {".json", ".txt", ".model", ".jinja", ".tiktoken"}
_COUNTS = re.compile(r"layer|depth|label|expert|heads|train_timesteps", re.IGNORECASE)
_WEIGHTS = re.compile(
    r"(?P<stem>diffusion_pytorch_model|model|adapter_model)(?:\.(?P<variant>(?!safetensors)\w+))?"
    r"(?:-\d{5}-of-\d{5})?\.safetensors"
)
_INDEX = re.compile(
    r"(?P<stem>diffusion_pytorch_model|model)\.safetensors\.index(?:\.(?P<variant>\w+))?\.json"
)


@dataclass(frozen=True)
class Header:
    """One tensor, as the beginning of its file describes it."""

    shape: tuple[int, ...]
    dtype: str  # in safetensors' words: F32, BF16, I64, ...

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True)
class Weights:
    """The files of weights that are taken, and what they say that they hold."""

    files: tuple[Path, ...]
    variant: str | None
    tensors: dict[str, Header]

    @property
    def count(self) -> int:
        """How many numbers they hold in all."""
        return sum(header.count for header in self.tensors.values())


def cannot_load(what: str, why: BaseException | str) -> UserError:
    """The sentence for a part of a model that is there but cannot be loaded."""
    return UserError(f"{what} cannot be loaded ({in_words(why)}).")


def in_words(error: BaseException | str) -> str:
    """A library's error on one line that a terminal can show, its beginning if it is long."""
    text = str(error) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"it has no entry {text}"
    at = text.find("size mismatch for ")
    line = " ".join(text[max(at, 0) :][:2000].split()).rstrip(".")
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= 240 else line[:237] + "..."


def read_table(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        UserError: it cannot be read, is too large, or holds something else.
    """
    try:
        if path.stat().st_size > LARGEST_TABLE:
            raise cannot_load(what, f"{path.name} has more than {LARGEST_TABLE >> 20} MiB")
    except OSError as error:
        raise cannot_load(what, f"{path.name}: {error.strerror or error}") from None
    try:
        return read_json(path, dict)
    except UserError as error:
        raise cannot_load(what, str(error).rstrip(".")) from None


def check_tables(folder: Path, what: str) -> None:
    """Refuse a folder whose settings ask for code of its own, for other files or for absurd sizes.

    Raises:
        UserError: naming the file and the setting.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise cannot_load(what, error.strerror or error) from None
    for path in paths:
        _check_file(path, what)
    for name in (path.name for path in paths if _TABLES.fullmatch(path.name)):
        for key, value in _settings(read_table(folder / name, what)):
            _check_setting(key, value, name, what)


def _check_file(path: Path, what: str) -> None:
    """Refuse what is no file (a pipe never ends) or too large for one that is read whole."""
    try:
        found = path.stat()
    except OSError:  # a link to nothing: whoever needs it says so
        return
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise cannot_load(what, f"{path.name} is no ordinary file")
    if path.suffix in _READ_WHOLE and found.st_size > LARGEST_TEXT:
        raise cannot_load(what, f"{path.name} has more than {LARGEST_TEXT >> 20} MiB")


def check_spelling(folder: Path, what: str) -> None:
    """Refuse a tokenizer that first makes far more text of a text than there was.

    Thirty replacements of one letter by two make a word a billion letters long.

    Raises:
        UserError: it does, or is broken.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return
    try:
        table = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise cannot_load(what, f"{path.name}: {error}") from None
    growth = 1
    for part in ("normalizer", "pre_tokenizer"):
        found = table.get(part) if isinstance(table, dict) else None
        for key, value in _settings(found if isinstance(found, dict) else {}):
            if key in ("content", "prepend", "replacement") and isinstance(value, str):
                growth *= max(1, len(value))
    if growth > _MOST_GROWTH:
        raise cannot_load(what, f"its {path.name} makes texts {growth:.3g} times as long")


def _settings(table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every key and value of a table and of those inside it."""
    rest: list[Any] = [table]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            yield from item.items()
            rest += item.values()
        elif isinstance(item, list):
            rest += item


def _check_setting(key: str, value: Any, file: str, what: str) -> None:
    if not value:
        return
    if key in ("auto_map", "custom_pipelines"):
        raise UserError(
            f"{what} is refused: its {file} names code of its own ({key}), which is never run "
            "here; give a model of a class that the libraries themselves have."
        )
    if key == "quantization_config":
        raise UserError(
            f"{what} is stored quantised ({file} has a quantization_config), which is not read "
            "here: give the model that it was made from."
        )
    if key in ("transformers_weights", "megatron_config", "gguf_file"):
        raise cannot_load(what, f"its {file} has {key}, which is not read here")
    if key.endswith("_implementation") and "/" in str(value):
        raise UserError(
            f"{what} is refused: its {file} asks for code from elsewhere "
            f"({key} {in_words(str(value))}), which is never fetched here; take that entry out."
        )
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if _COUNTS.search(key) and isinstance(number, int | float) and number > MOST_LAYERS:
            raise cannot_load(what, f"its {file} says {key} = {number:.3g}")


def find_weights(folder: Path, what: str, dtype: str = "", stem: str | None = None) -> Weights:
    """The safetensors files to take from a folder: the plain ones, or those of a variant.

    Where there are no plain ones, float32 comes first, then `dtype` (as `torch.bfloat16` is
    written: `bfloat16`), the other half-precision ones, and weights without averaging last.

    Raises:
        UserError: there are none, only pickles, or they are broken or no whole set.
    """
    found: dict[str | None, dict[str, list[Path]]] = {}
    for path in sorted(folder.iterdir()):
        for kind, pattern in (("index", _INDEX), ("files", _WEIGHTS)):
            match = pattern.fullmatch(path.name)
            if match and stem in (None, match["stem"]):
                found.setdefault(match["variant"], {}).setdefault(kind, []).append(path)
    if not found:
        raise _no_weights(folder, what)
    variant = min(found, key=lambda name: (_rank(name, dtype), name or ""))
    files = found[variant].get("files", [])
    whole = [path for path in files if "-of-" not in path.name]
    promised: set[str] = set()
    if whole:
        chosen = whole[:1]
    elif "index" in found[variant]:
        chosen, promised = _shards(found[variant]["index"][0], what)
    else:
        raise cannot_load(what, f"{files[0].name} is a part, and there is no index of the parts")
    tensors = {}
    for path in chosen:
        tensors.update(read_header(path, what))
    lacking = sorted(promised - tensors.keys())
    if lacking:
        raise cannot_load(what, f"{lacking[0]} is missing in its weights")
    return Weights(tuple(chosen), variant, tensors)


def read_header(path: Path, what: str) -> dict[str, Header]:
    """Names, shapes and number formats of a safetensors file.

    Raises:
        UserError: it is broken, cut, or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            pieces = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {n: Header(tuple(p.get_shape()), p.get_dtype()) for n, p in pieces.items()}
    except (SafetensorError, OSError, ValueError) as error:
        why = f"{path.name} is no whole safetensors file: {error}"
        raise cannot_load(what, why) from None


def _shards(index: Path, what: str) -> tuple[list[Path], set[str]]:
    """The files that an index names, which must lie beside it, and the tensors they should hold."""
    table = read_table(index, what).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise cannot_load(what, f"{index.name} has no weight_map")
    names = sorted({str(name) for name in table.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise cannot_load(what, f"{index.name} names {name!r}, no file of this folder")
        if not (index.parent / name).is_file():
            raise cannot_load(what, f"{name} is missing")
    return [index.parent / name for name in names], set(table)


def _rank(variant: str | None, dtype: str) -> int:
    """In which order variants are taken; one of an unknown name comes after the known."""
    short = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}.get(dtype, "")
    order = [None, "fp32", short, "fp16", "bf16", "ema", "non_ema"]
    return order.index(variant) if variant in order else order.index("non_ema") - 1


def _no_weights(folder: Path, what: str) -> UserError:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICKLES:
            return refuse_pickle(path)
    return UserError(f"{what} holds no weights (.safetensors): the model is not complete.")
