"""The runner: a code and one sentence for everything that can go wrong, and a traceback on demand."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from types import ModuleType

import pytest

from overpaint import __version__, cli
from overpaint.cli import main
from overpaint.errors import UserError


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> object:
    """Add a command `boom` that raises what the test hands over."""

    def install(error: BaseException) -> None:
        def boom(times: int = 1) -> None:
            """Raise."""
            raise error

        module = ModuleType("overpaint.cli.boom")
        module.boom = boom  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "overpaint.cli.boom", module)
        monkeypatch.setattr(cli, "COMMANDS", ("boom",))

    monkeypatch.delenv("OVERPAINT_TRACEBACK", raising=False)
    return install


def oserror(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("no such picture: a.png."), "no such picture: a.png."),
        (UserError("two\nlines  here."), "two lines here."),
        (oserror(errno.ENOSPC), "the disk is full: free some space"),
        (oserror(errno.ENOSPC, "/x/y"), "the disk is full while writing /x/y: free some"),
        (RuntimeError("IoError: No space left on device (os error 28)"), "the disk is full"),
        (oserror(errno.EACCES, "/x"), "/x: permission denied (PermissionError; run it again"),
        (OutOfMemoryError("CUDA out of memory"), "the memory does not suffice"),
        (MemoryError(), "the memory does not suffice"),
        (RuntimeError("shape\nmismatch"), "RuntimeError: shape mismatch (run it again with"),
        (ValueError(), "ValueError: no message (run it again with OVERPAINT_TRACEBACK=1"),
    ],
)
def test_every_error_is_one_sentence_and_exit_1(
    error: Exception, sentence: str, raising, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(error)
    assert main(["boom"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"overpaint: {sentence}")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_the_traceback_comes_when_asked_for(raising, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(RuntimeError("shape"))
    monkeypatch.setenv("OVERPAINT_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="shape"):
        main(["boom"])


def test_an_interrupt_exits_130(raising) -> None:
    raising(KeyboardInterrupt())
    assert main(["boom"]) == 130


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["boom", "--colour"], "--colour"),
        (["boom", "--times", "many"], "--times"),
        (["boom", "extra"], "extra"),
        (["bom"], "Did you mean 'boom'?"),
    ],
)
def test_usage_errors_exit_2(
    words: list[str], expected: str, raising, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(RuntimeError("not reached"))
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err


def test_no_words_show_the_help_as_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"overpaint {__version__}\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import sys; from overpaint.cli import main; sys.exit(main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait()


def test_the_module_runs_like_the_script() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "overpaint", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"overpaint {__version__}\n"
