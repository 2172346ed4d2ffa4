"""A reader sees the old file or the new one, and a failed write is one clear sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from overpaint import files
from overpaint.errors import UserError
from overpaint.files import dir_aside, replace_dir, write_atomic


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_write_replaces_the_file_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_atomic(path, b"one")
    write_atomic(path, lambda aside: aside.write_bytes(b"two"))
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["a.txt"]


def test_the_name_aside_is_hidden_and_keeps_the_suffix(tmp_path: Path) -> None:
    seen: list[Path] = []

    def write(aside: Path) -> None:
        seen.append(aside)
        aside.write_bytes(b"x")

    write_atomic(tmp_path / "a.png", write)
    assert seen[0].parent == tmp_path
    assert seen[0].name.startswith(".")
    assert seen[0].suffix == ".png"


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, b"old")

    def write(aside: Path) -> None:
        aside.write_bytes(b"half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        write_atomic(path, write)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "fsync", no_space)
    path = tmp_path / "a.txt"
    with pytest.raises(UserError, match=r"cannot write .*a\.txt: no space left on device\."):
        write_atomic(path, b"x")
    assert os.listdir(tmp_path) == []


def test_a_folder_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_atomic(tmp_path, b"x")
    with pytest.raises(UserError, match="cannot write"):
        write_atomic(tmp_path / "file" / "a.txt", b"x")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    final = tmp_path / "model"
    with dir_aside(final) as aside:
        (aside / "a").write_text("1")
        assert not final.exists()
    with pytest.raises(ValueError, match="broken"), dir_aside(final) as aside:
        (aside / "a").write_text("2")
        raise ValueError("broken")
    assert (final / "a").read_text() == "1"
    assert os.listdir(tmp_path) == ["model"]


def test_a_folder_replaces_the_old_one(tmp_path: Path) -> None:
    old, new = tmp_path / "final", tmp_path / ".new"
    old.mkdir()
    (old / "only-in-old").write_text("")
    new.mkdir()
    (new / "a").write_text("2")
    replace_dir(new, old)
    assert os.listdir(old) == ["a"]
    assert os.listdir(tmp_path) == ["final"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "final", tmp_path / ".new"
    old.mkdir()
    new.mkdir()
    rename = Path.rename

    def refuse_the_new(self: Path, target: Path) -> Path:
        if self == new:
            no_space()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new)
    with pytest.raises(UserError, match="no space left"):
        replace_dir(new, old)
    assert old.is_dir()
