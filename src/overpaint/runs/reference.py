"""`docs/recipe.md`: every key of a recipe, from the settings themselves.

python -m overpaint.runs.reference > docs/recipe.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from overpaint.recipe import Recipe, keys_of, model_in
from overpaint.runs.stages import BLOCKS

_HEAD = """\
# Every key of a recipe

Written by `python -m overpaint.runs.reference`; [run.md](run.md) says what a recipe is. A dot means a block
inside a block: `generate.top_p` of `instruct:` is `--set instruct.generate.top_p=0.9` for `overpaint run`, and
`--set generate.top_p=0.9` for `overpaint instruct generate`.
"""


def reference() -> str:
    """The page."""
    parts = [_HEAD, "## Above the blocks\n", table(Recipe)]
    for name, kind in BLOCKS.items():
        parts += [f"## {name}:\n", table(kind)]
    return "\n".join(parts)


def table(kind: type[BaseModel]) -> str:
    """A line a key: name, what it takes, default, meaning."""
    lines = ["| key | takes | default | |", "|---|---|---|---|", *_lines(kind)]
    return "\n".join(lines) + "\n"


def _lines(kind: type[BaseModel]) -> Iterator[str]:
    for key, field in keys_of(kind):
        said = field.description or ""
        if model_in(field.annotation) is None:
            yield f"| `{key}` | {_takes(field.annotation)} | {_default(field)} | {said} |"
        elif said:
            yield f"| `{key}` | a block | | {said} |"


def _takes(annotation: Any) -> str:
    """A type in words."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _takes(args[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in (Union, UnionType):
        return " or ".join(_takes(one) for one in args if one is not NoneType)
    if origin is tuple:
        if Ellipsis in args:
            return f"a list ({_takes(args[0])})"
        return f"{_takes(args[0])} or a range [low, high]"
    if origin is dict:
        return "keys and values"
    words = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`"}
    return words[annotation]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "needed"
    if value is None:
        return "none"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


if __name__ == "__main__":
    print(reference(), end="")
