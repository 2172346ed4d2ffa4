"""YAML of plain values that a stranger may have written: parsed, or refused in one sentence.

The grammar is ruamel.yaml's (YAML 1.2: `no` and `on` are words, 5e-5 is a number). Kept ours are the
limits: ruamel.yaml knows one of the depth alone, and reads aliases that stand for billions of values.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.docinfo import DocInfo
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node
from ruamel.yaml.reader import ReaderError

from overpaint.errors import UserError

_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in "null bool int float str seq map".split()}
_MERGE = "tag:yaml.org,2002:merge"
_MAX_VALUES = 20_000  # of a recipe, an alias counted as what it stands for
_MAX_DEPTH = 50
_SHOWN = 80  # characters of a value that a message repeats


class _Composer(Composer):
    """Stops at the first value too many: a megabyte of them would take minutes."""

    _count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.warn_double_anchors = False  # YAML lets a later one stand for something else
        self._count += 1
        if self._count > _MAX_VALUES:
            problem = f"more than {_MAX_VALUES:,} values"
            raise MarkedYAMLError(None, None, problem, self.parser.peek_event().start_mark)
        return super().compose_node(parent, index)


class _Constructor(SafeConstructor):
    """Names the line of a scalar that is not of its kind: `!!int x`, an integer of 5,000 digits."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
            kind = str(node.tag).rpartition(":")[2]
            problem = f"a value that cannot be read as {kind}"
            raise MarkedYAMLError(None, None, problem, node.start_mark) from error


def parse_yaml(text: str, where: str, look: Callable[[Node], None] | None = None) -> Any:
    """The values of a YAML text; None where there are none. `where` begins the messages.

    `look` is shown the text's tree before its values are made.

    Raises:
        UserError: it is no YAML, or stands for more than a recipe can mean.
    """
    try:
        yaml = _yaml()
        yaml.Composer = _Composer
        constructor, _ = yaml.get_constructor_parser(io.StringIO(text))
        node = constructor.composer.get_single_node()
        if node is None:
            return None
        _check_size(node)
        if look is not None:
            look(node)
        return constructor.construct_document(node)
    except (MaxDepthExceededError, RecursionError) as error:
        raise UserError(f"{where}: this is nested too deeply.") from error
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where}{line}: this is no YAML ({error.problem}).") from error
    except ReaderError as error:
        number = text[: int(error.position)].count("\n") + 1
        raise UserError(
            f"{where}, line {number}: this is no YAML (it holds a control character)."
        ) from error
    except YAMLError as error:
        raise UserError(f"{where}: this is no YAML ({error}).") from error


def yaml_text(values: Any) -> str:
    """Plain values as YAML that `parse_yaml` reads, mappings in their own order."""
    yaml = _yaml()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()


def infinite_numbers(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, float]]:
    """Path and value of every number among plain values that is infinite or NaN."""
    if isinstance(tree, float) and not isfinite(tree):
        yield path, tree
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(tree, (dict, list)):
        inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in inner:
        yield from infinite_numbers(value, (*path, key))


def shown_value(value: str | float) -> str:
    """A value as a message repeats it."""
    try:
        shown = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number of thousands of digits"
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _yaml() -> YAML:
    """ruamel.yaml without its C parser, whose nodes it does not limit."""
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = _MAX_DEPTH
    yaml.Constructor = _Constructor
    yaml.doc_infos.append(DocInfo())  # where the scanner writes what a %YAML or %TAG line says
    return yaml


def _check_size(root: Node) -> None:
    """Refuse aliases that stand for each other without end, or for millions of values."""
    sizes: dict[int, int | None] = {}

    def size(node: Node) -> int:
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                raise MarkedYAMLError(None, None, "it contains itself", node.start_mark)
            return known
        sizes[id(node)] = None
        _check_kind(node)
        inner = node.value if isinstance(node.value, list) else ()
        parts = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
        sizes[id(node)] = total = 1 + sum(size(part) for part in parts)
        if total > _MAX_VALUES:
            problem = f"more than {_MAX_VALUES:,} values"
            raise MarkedYAMLError(None, None, problem, node.start_mark)
        return total

    size(root)


def _check_kind(node: Node) -> None:
    """Refuse values of other kinds than a recipe's, and keys that are no names."""
    tag = str(node.tag)
    if tag not in _PLAIN:
        problem = f"a value of the kind {tag[:80]!r}, which has no meaning here"
        raise MarkedYAMLError(None, None, f"{problem}; in quotes it is a word", node.start_mark)
    for key, _ in node.value if isinstance(node, MappingNode) else ():
        if key.tag == _MERGE:
            problem = "a merge of keys (<<), which has no meaning here: write them out"
            raise MarkedYAMLError(None, None, problem, key.start_mark)
        if key.tag != "tag:yaml.org,2002:str":
            problem = "a key must be a name, in quotes if need be"
            raise MarkedYAMLError(None, None, problem, key.start_mark)
