"""Progress goes to stderr, plainly when nobody watches, and never into the results."""

from __future__ import annotations

import pytest

from overpaint import progress
from overpaint.progress import Progress, track


def test_plain_lines_say_how_far_and_how_fast(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(3), "render")) == [0, 1, 2]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("render: 3/3, ")
    assert err.count("\n") == 1


def test_lines_come_at_most_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with Progress("train", total=100, done=40) as bar:
        for _ in range(21):
            now += 1.0
            bar.advance(1, "loss 0.5")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "train: 50/100, 1.0/s, 0:50 left, loss 0.5"
    assert lines[1] == "train: 60/100, 1.0/s, 0:40 left, loss 0.5"
    assert lines[2].startswith("train: 61/100")
    assert len(lines) == 3


def test_an_error_inside_is_not_followed_by_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), Progress("train", total=2) as bar:
        bar.advance()
        raise ValueError("no")
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("edit [1/2]", total=2) as bar:
        bar.advance(2, "loss [0]")
    out, err = capsys.readouterr()
    assert out == ""
    assert "edit [1/2]" in err
    assert "loss [0]" in err
