"""The command line. Each module here without a leading underscore is one command.

A command module holds a function of its own name (or a `typer.Typer` called `app`, when the
command has commands of its own), and `OPTIONS` where options come from a settings model (see
`_settings`). It imports nothing heavy at its top: what a command needs is
imported when it runs, so that `overpaint --help` answers at once.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any

import typer

from overpaint import __version__
from overpaint.cli._interruption import Interruption
from overpaint.errors import UserError
from overpaint.files import reason
from overpaint.text import printable, printable_lines

COMMANDS = tuple(m.name for m in iter_modules(__path__) if not m.name.startswith("_"))

# Click's error for words that are no command line, from whichever click typer brings along.
_WrongUsage: Any = typer.BadParameter.__mro__[1]
_INTERRUPTED = 130
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# Libraries speak on stderr through these; ours are the only words a user should read there.
_QUIET = {
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; `args` are the words after `overpaint`.

    Returns the exit code: 0 done, 1 could not do it (one sentence on stderr), 2 usage,
    130 interrupted, 143 stopped by SIGTERM (both with a sentence that says what is kept).
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us (`>&-`): words for it go nowhere else
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            # A name that the terminal cannot show must not fail what is done.
            stream.reconfigure(errors="backslashreplace")
    interruption = Interruption()
    try:
        with interruption:
            code = _run(args)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    if code == 0 or (code != _INTERRUPTED and interruption.error is None):
        return code
    print(f"overpaint: {interruption.sentence}", file=sys.stderr)
    return interruption.exit_code


def _run(args: Sequence[str] | None) -> int:
    """Run one command, without a word about interruptions."""
    args = list(sys.argv[1:] if args is None else args)
    traceback_wanted = os.environ.get("OVERPAINT_TRACEBACK", "") not in ("", "0")
    if not traceback_wanted:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
    try:
        command = typer.main.get_command(build_app(_needed(args)))
        code = command.main(args, prog_name="overpaint", standalone_mode=False)
    except _WrongUsage as error:
        message = printable_lines(error.message)  # it may quote a file's name
        error.message = message.removeprefix("Value error, ")  # pydantic's, by way of typer
        error.show()
        return int(error.exit_code)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`overpaint ... | head`); the interpreter must not try to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UserError as error:
        return _give_up(str(error))
    except Exception as error:  # the one place where any error becomes a sentence
        if traceback_wanted:
            raise
        return _give_up(_sentence(error))
    return code if isinstance(code, int) else 0


def build_app(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """The typer application with these commands imported and registered."""
    app = typer.Typer(
        name="overpaint",
        help="Edit pictures by instruction, and train the models that do it.",
        rich_markup_mode=None,  # rich's help would take longer to import than all the rest
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_overpaint)
    for name in commands:
        module = import_module(f"overpaint.cli.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name, cls=getattr(module, "OPTIONS", None))(getattr(module, name))
    return app


def _needed(args: Sequence[str]) -> Sequence[str]:
    """A named command needs only its own module; help and misspellings need all of them."""
    return args[:1] if args and args[0] in COMMANDS else COMMANDS


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"overpaint {__version__}")
        raise typer.Exit


def _overpaint(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Edit pictures by instruction, and train the models that do it."""


def _give_up(sentence: str) -> int:
    sys.stdout.flush()
    print(f"overpaint: {printable(sentence)}", file=sys.stderr)
    return 1


def _sentence(error: Exception) -> str:
    """One sentence for an error that no command foresaw."""
    if _disk_is_full(error):
        where = getattr(error, "filename", None)
        at = f" while writing {where}" if where else ""
        return f"the disk is full{at}: free some space and run the same command again."
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return (
            "the memory does not suffice: take a smaller picture, batch or model, "
            "or another --device."
        )
    how = "run it again with OVERPAINT_TRACEBACK=1 to see where"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {reason(error)} ({type(error).__name__}; {how})."
    words = str(error).strip().rstrip(".") or "no message"
    return f"{type(error).__name__}: {words} ({how})."


def _disk_is_full(error: Exception) -> bool:
    # Writers in other languages (safetensors, Arrow) give the system's words without its number.
    return getattr(error, "errno", None) in _DISK_FULL or os.strerror(errno.ENOSPC) in str(error)
