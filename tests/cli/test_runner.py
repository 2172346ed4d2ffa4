"""The runner: a code and one sentence for everything that can go wrong, and a traceback on demand."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import ModuleType

import pytest

from overpaint import __version__, cli
from overpaint.cli import main
from overpaint.errors import UserError


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., object]], None]:
    """Make a function the command `boom`, the only one there is."""

    def install(boom: Callable[..., object]) -> None:
        module = ModuleType("overpaint.cli.boom")
        module.boom = boom  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "overpaint.cli.boom", module)
        monkeypatch.setattr(cli, "COMMANDS", ("boom",))

    monkeypatch.delenv("OVERPAINT_TRACEBACK", raising=False)
    return install


@pytest.fixture
def raising(commands) -> Callable[[BaseException], None]:
    """Add a command `boom` that raises what the test hands over."""

    def install(error: BaseException) -> None:
        def boom(times: int = 1) -> None:
            """Raise."""
            raise error

        commands(boom)

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


def test_an_interrupt_exits_130(raising, capsys: pytest.CaptureFixture[str]) -> None:
    raising(KeyboardInterrupt())
    assert main(["boom"]) == 130
    assert capsys.readouterr().err == (
        "overpaint: interrupted: what was finished is kept, and no file is half written.\n"
    )


@pytest.mark.parametrize(
    ("number", "code", "begins"),
    [(signal.SIGINT, 130, "interrupted: "), (signal.SIGTERM, 143, "stopped by SIGTERM: ")],
)
@pytest.mark.parametrize("kept", ["", "3 of 7 rows are kept."])
def test_a_signal_stops_the_command_with_a_sentence(
    number: signal.Signals, code: int, begins: str, kept: str, commands, capsys
) -> None:
    tidied = []

    def wait() -> None:
        """Wait for the signal."""
        try:
            signal.raise_signal(number)
            time.sleep(60)
        except KeyboardInterrupt as stop:
            tidied.append(signal.getsignal(number))
            if kept:
                stop.add_note(kept)
            raise

    commands(wait)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    assert main(["boom"]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"overpaint: {begins}{kept or 'what was finished is kept'}")
    assert tidied == [signal.SIG_DFL], "a second signal must end the process"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_was_to_be_ignored_is(commands, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        commands(lambda: signal.raise_signal(signal.SIGTERM))
        assert main(["boom"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_ends_at_its_first_signal(commands) -> None:
    ended = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                os._exit(7)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    commands(fork)
    assert main(["boom"]) == 0
    assert ended == [-signal.SIGTERM]


def test_a_second_sigterm_ends_a_command_that_tidies_up_for_ever() -> None:
    code = (
        "import sys, time\n"
        "from types import ModuleType\n"
        "from overpaint import cli\n"
        "def boom():\n"
        "    try:\n"
        "        print('ready', flush=True); time.sleep(60)\n"
        "    finally:\n"
        "        print('tidying', flush=True); time.sleep(60)\n"
        "module = ModuleType('overpaint.cli.boom'); module.boom = boom\n"
        "sys.modules['overpaint.cli.boom'] = module; cli.COMMANDS = ('boom',)\n"
        "sys.exit(cli.main(['boom']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in ("ready\n", "tidying\n"):
        assert process.stdout.readline() == line
        process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    process.stdout.close()


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


@pytest.mark.parametrize("closed", ["1", "2", "12"])
@pytest.mark.parametrize(
    ("words", "code"), [("--version", 0), ("evaluate --bad", 2), ("edit x y", 1)]
)
def test_a_closed_stream_is_no_error_and_takes_no_others_words(closed, words, code) -> None:
    shell = f"exec {sys.executable} -m overpaint {words} " + " ".join(f"{n}>&-" for n in closed)
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) == ("1" not in closed and code == 0)
    assert bool(done.stderr) == ("2" not in closed and code != 0)


def test_the_module_runs_like_the_script() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "overpaint", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"overpaint {__version__}\n"
