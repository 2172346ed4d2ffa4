"""Options of a command that come from a settings model: written once, in the model.

Every key of the model that one word of a command line can say is an option, those of a block in it
too: `generate.per_caption` is `--per-caption`. A key may name its option (`json_schema_extra={"option":
"--steps"}`), its description is the help, and its type, bounds and default are the option's; `{"values": "package.module:function"}` names what lists a key's values
where these are found and not written down. Keys that
hold a mapping have none (`--set` takes them), nor has a key whose option the command has of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

SettingsT = TypeVar("SettingsT", bound="BaseModel")

_GIVEN = "overpaint.given"
_FLAGS = "overpaint.flags"
_SAYS_DEFAULT = "Left out"  # begins the sentence of a description that says a default itself


def options_of(
    model: str, *, without: Collection[str] = (), listed: Collection[str] = ()
) -> type[TyperCommand]:
    """The class of a command with the options of a settings model, as `app.command(cls=...)` takes it.

    Args:
        model: `package.module:Model`, imported only when the command runs or shows its own help.
        without: keys (blocks with all that is in them) that get no option here.
        listed: number keys that take several values with commas here.
    """

    class SettingsCommand(_SettingsCommand):
        _model = model
        _without = frozenset(without)
        _listed = frozenset(listed)

    return SettingsCommand


def given(context: typer.Context) -> dict[str, Any]:
    """What the user said by options of the settings model: key (with dots) -> value."""
    return dict(context.meta.get(_GIVEN, {}))


def given_flags(context: typer.Context) -> dict[str, Any]:
    """What the user said by options of the settings model, as it is typed: `--steps` -> value."""
    flags = context.meta.get(_FLAGS, {})
    return {flags[key]: value for key, value in given(context).items()}


def read_options(
    context: typer.Context,
    recipe: Path | None,
    block: str,
    kind: type[SettingsT],
    overrides: Sequence[str],
    chosen: Mapping[str, Any] | None = None,
) -> SettingsT:
    """A block of the recipe with what the command line says: `--set` over the file, options over both.

    Args:
        chosen: what the options say, where that is not `given(context)`.

    Raises:
        typer.BadParameter: the settings refuse the value of an option, and nothing else.
        UserError: as `read_block`.
    """
    from overpaint.errors import WrongOption
    from overpaint.recipe import read_block

    flags = given(context) if chosen is None else chosen
    try:
        return read_block(recipe, block, kind, overrides, flags, context.meta.get(_FLAGS, {}))
    except WrongOption as error:
        raise typer.BadParameter(str(error)) from error


class _SettingsCommand(TyperCommand):
    _model: ClassVar[str]
    _without: ClassVar[frozenset[str]]
    _listed: ClassVar[frozenset[str]]
    _options: dict[str, Any] | None = None

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's own arguments and options, those of the settings, and --help."""
        own = super().get_params(ctx)
        help_option = own[len(self.params) :]
        return [*self.params, *self._of_settings().values(), *help_option]

    def invoke(self, ctx: Any) -> Any:
        """Hand what was given of the settings over by the context: the function does not name it."""
        values = {key: ctx.params.pop(option.name) for key, option in self._of_settings().items()}
        ctx.meta[_FLAGS] = {key: option.opts[0] for key, option in self._of_settings().items()}
        ctx.meta[_GIVEN] = {
            key: value for key, value in values.items() if value not in (None, (), [])
        }
        return super().invoke(ctx)

    def _of_settings(self) -> dict[str, Any]:
        """Key -> option."""
        if self._options is None:
            taken = {flag for param in self.params for flag in param.opts}
            module, _, name = self._model.partition(":")
            model = getattr(import_module(module), name)
            found = _option_types(model, taken, self._without, self._listed)
            self._options = dict(zip(found, _parse_with_typer(found.values()), strict=True))
        return self._options


def _option_types(
    model: type[BaseModel],
    taken: Collection[str],
    without: Collection[str],
    listed: Collection[str],
) -> dict[str, Any]:
    """Key -> annotation of a parameter as typer reads it.

    Raises:
        TypeError: two keys have the same option.
    """
    from overpaint.recipe import keys_of

    found: dict[str, Any] = {}
    flags: dict[str, str] = {}
    for key, known in keys_of(model):
        flag = _flag(key, known)
        blocks = [key[:n] for n in range(len(key) + 1) if key[n : n + 1] in (".", "")]
        if flag in taken or any(block in without for block in blocks):
            continue
        kind = _listed_values(known) or _type_of(known.annotation, many=key in listed)
        if kind is None:
            continue
        if flag in flags:
            raise TypeError(f"{key} and {flags[flag]} are both {flag}: one of them needs a name")
        flags[flag] = key
        found[key] = _annotation(flag, key, kind, known)
    return found


def _flag(key: str, known: FieldInfo) -> str:
    extra = known.json_schema_extra
    named = extra.get("option") if isinstance(extra, Mapping) else None
    return str(named) if named else f"--{key.rpartition('.')[2].replace('_', '-')}"


def _listed_values(known: FieldInfo) -> Any:
    """A choice of the values that the key's function lists; None where it names no function."""
    extra = known.json_schema_extra
    named = extra.get("values") if isinstance(extra, Mapping) else None
    if named is None:
        return None
    module, _, function = str(named).partition(":")
    return Literal[tuple(getattr(import_module(module), function)())]


def _type_of(annotation: Any, *, many: bool) -> Any:
    """The type of an option for a value of that type, "numbers" for several; None: no option."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_of(args[0], many=many)
    if origin in (Union, UnionType):
        inner = [one for one in args if one is not NoneType]
        return _type_of(inner[0], many=many) if len(inner) == 1 else None
    if origin is tuple:
        if _type_of(args[0], many=False) is str:
            return list[str]
        return "numbers" if args[-1] is Ellipsis else "range"
    if origin is Literal or annotation is bool:
        return annotation
    if annotation in (int, float):
        return "numbers" if many else annotation
    return annotation if annotation is str else None


def _annotation(flag: str, key: str, kind: Any, known: FieldInfo) -> Any:
    """`Annotated[... | None, typer.Option(...)]` for one key."""
    words = _help(key, known)
    least, most = _bounds(known)
    if kind in ("numbers", "range"):
        read = partial(_numbers if kind == "numbers" else _range, least=least, most=most)
        read.__name__ = "numbers"  # type: ignore[attr-defined]
        metavar = "NUMBER,..." if kind == "numbers" else "NUMBER[,NUMBER]"
        return Annotated[Any, typer.Option(flag, help=words, parser=read, metavar=metavar)]
    if kind is bool:
        both = f"{flag}/--no-{flag.removeprefix('--')}"
        return Annotated[bool | None, typer.Option(both, help=words)]
    given: dict[str, Any] = {"min": least, "max": most} if kind in (int, float) else {}
    return Annotated[kind | None, typer.Option(flag, help=words, **given)]


def _bounds(known: FieldInfo) -> tuple[Any, Any]:
    """The least and the most of a key, both among what it may be; None where there is none."""
    found = [
        next((getattr(rule, name) for rule in known.metadata if hasattr(rule, name)), None)
        for name in ("ge", "le")
    ]
    return found[0], found[1]


def _help(key: str, known: FieldInfo) -> str:
    """The description, and the default where the description does not have to say it."""
    words = known.description or ""
    default = known.get_default(call_default_factory=True)
    if known.is_required() or default in (None, ()) or _SAYS_DEFAULT in words:
        return words
    if isinstance(default, bool):
        default = "yes" if default else "no"
    elif isinstance(default, tuple):
        default = ",".join(f"{value:g}" for value in default)
    if NoneType in get_args(known.annotation):  # which no word of an option says
        return f"{words} [default: {default}; null by --set {key}=null]"
    return f"{words} [default: {default}]"


def _numbers(text: str, least: float | None = None, most: float | None = None) -> list[float]:
    """Numbers with commas between them."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not numbers with commas between them.") from None
    if not all(isfinite(value) for value in values):
        raise typer.BadParameter(f"{text!r} holds a number that is not finite.")
    if least is not None and min(values) < least:
        raise typer.BadParameter(f"{text!r} holds a number that is less than {least}.")
    if most is not None and max(values) > most:
        raise typer.BadParameter(f"{text!r} holds a number that is more than {most}.")
    return values


def _range(text: str, least: float | None = None, most: float | None = None) -> list[float] | float:
    """A number, or the two ends of a range."""
    values = _numbers(text, least, most)
    return values[0] if len(values) == 1 else values


def _parse_with_typer(annotations: Collection[Any]) -> Iterator[Any]:
    """The options that typer makes of a function with such parameters."""
    names = [f"setting_{number}" for number in range(len(annotations))]

    def command(**_: Any) -> None:
        """Stands for the settings."""

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in zip(names, annotations, strict=True)
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = dict(zip(names, annotations, strict=True))
    app = typer.Typer(add_completion=False)
    app.command()(command)
    yield from typer.main.get_command(app).params
