"""YAML of plain values that a stranger may have written: parsed, or refused in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from overpaint.errors import UserError

_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in "null bool int float str seq map".split()}
_MAX_VALUES = 20_000  # of a recipe, an alias counted as what it stands for


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `no` and `on` are words and 5e-5 is a number, unlike PyYAML's 1.1.

    It stops at the first value too many: PyYAML would take minutes for a megabyte of them.
    """

    _made = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        self._made += 1
        if self._made > _MAX_VALUES:
            problem = f"more than {_MAX_VALUES:,} values"
            raise yaml.MarkedYAMLError(None, None, problem, self.peek_event().start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first)
    )


def parse_yaml(text: str, where: str, look: Callable[[yaml.Node], None] | None = None) -> Any:
    """The values of a YAML text; None where there are none. `where` begins the messages.

    `look` is shown the text's tree before its values are made.

    Raises:
        UserError: it is no YAML, or stands for more than a recipe can mean.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_size(node)
            if look is not None:
                look(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where}{line}: this is no YAML ({error.problem}).") from error
    except yaml.reader.ReaderError as error:
        number = text[: int(error.position)].count("\n") + 1
        raise UserError(
            f"{where}, line {number}: this is no YAML (it holds a control character)."
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"{where}: this is no YAML ({error}).") from error
    except RecursionError as error:
        raise UserError(f"{where}: this is nested too deeply.") from error
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        raise UserError(f"{where}: a value is not of the type that its tag names.") from error


def _check_size(root: yaml.Node) -> None:
    """Refuse aliases that stand for each other without end, or for millions of values."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                raise yaml.MarkedYAMLError(None, None, "it contains itself", node.start_mark)
            return known
        sizes[id(node)] = None
        if node.tag not in _PLAIN:
            problem = f"a value of the kind {node.tag[:80]!r}, which has no meaning here"
            raise yaml.MarkedYAMLError(None, None, problem, node.start_mark)
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
        inner = node.value if isinstance(node.value, list) else ()
        parts = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
        sizes[id(node)] = total = 1 + sum(size(part) for part in parts)
        if total > _MAX_VALUES:
            problem = f"more than {_MAX_VALUES:,} values"
            raise yaml.MarkedYAMLError(None, None, problem, node.start_mark)
        return total

    size(root)


def _check_keys(node: yaml.MappingNode) -> None:
    for key, _ in node.value:
        if key.tag != "tag:yaml.org,2002:str":
            problem = "a key must be a name, in quotes if need be"
            raise yaml.MarkedYAMLError(None, None, problem, key.start_mark)
