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


# Symbolic links: what they point to is written, they stay.


@pytest.mark.parametrize("there", [True, False], ids=["to something", "to nothing yet"])
@pytest.mark.parametrize("hops", [1, 2])
def test_a_file_is_written_through_links(tmp_path: Path, there: bool, hops: int) -> None:
    real = tmp_path / "far" / "real.txt"
    if there:
        real.parent.mkdir()
        real.write_text("old")
    link = chain_of_links(tmp_path, real, hops)
    write_atomic(link, b"new")
    assert real.read_bytes() == b"new"
    assert link.is_symlink()
    assert sorted(p.name for p in real.parent.iterdir()) == ["real.txt"]


@pytest.mark.parametrize("there", [True, False], ids=["to something", "to nothing yet"])
@pytest.mark.parametrize("hops", [1, 2])
def test_a_folder_is_replaced_through_links(tmp_path: Path, there: bool, hops: int) -> None:
    real = tmp_path / "far" / "real"
    if there:
        real.mkdir(parents=True)
        (real / "old").touch()
    link = chain_of_links(tmp_path, real, hops)
    with dir_aside(link) as folder:
        (folder / "new").touch()
    assert [p.name for p in real.iterdir()] == ["new"]
    assert link.is_symlink()
    assert [p.name for p in real.parent.iterdir()] == ["real"]


def chain_of_links(folder: Path, real: Path, hops: int) -> Path:
    for hop in range(hops):
        link = folder / f"link{hop}"
        link.symlink_to(os.path.relpath(real, folder))
        real = link
    return real


def test_links_that_lead_nowhere_good_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "device").symlink_to(os.devnull)
    for name in ("a", "device"):
        with pytest.raises(UserError, match=f"cannot write .*{name}"):
            write_atomic(tmp_path / name, b"")
        assert (tmp_path / name).is_symlink()
