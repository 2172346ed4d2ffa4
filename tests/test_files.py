"""A reader sees the old file or the new one, and a failed write is one clear sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from overpaint import files
from overpaint.errors import UserError
from overpaint.files import beside, dir_aside, name_aside, replace_dir, sweep, write_atomic


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


READING = [
    FileNotFoundError(errno.ENOENT, "no such file", "picture.png"),
    OSError("image file is truncated"),
    OSError(errno.EIO, os.strerror(errno.EIO)),
]


@pytest.mark.parametrize("error", READING)
def test_an_error_of_reading_is_no_error_of_writing(tmp_path: Path, error: OSError) -> None:
    def write(aside: Path) -> None:
        aside.write_bytes(b"half")
        raise error

    with pytest.raises(type(error), match=str(error.strerror or error)) as caught:
        write_atomic(tmp_path / "a.txt", write)
    assert caught.value is error
    with pytest.raises(type(error)) as again, dir_aside(tmp_path / "model"):
        raise error
    assert again.value is error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
@pytest.mark.parametrize("says", ["number", "words", "name"])
def test_an_error_of_writing_is_one_sentence_whoever_writes(
    tmp_path: Path, number: int, says: str
) -> None:
    if number == errno.EACCES and says != "name":
        pytest.skip("as well one of reading")
    words = os.strerror(number)

    def write(aside: Path) -> None:
        kinds = {"number": (number, words), "words": (f"I/O error: {words}",)}
        raise OSError(*kinds.get(says, (number, words, str(aside))))

    with pytest.raises(UserError, match=r"cannot write .*a"):
        write_atomic(tmp_path / "a", write)
    with pytest.raises(UserError, match=r"cannot write .*a"), dir_aside(tmp_path / "a") as aside:
        write(aside / "part")


@pytest.mark.parametrize("name", ["model", "v1.5", "a.b.c", "[x]", "mo del", "x.old"])
def test_what_a_kill_left_is_swept_and_nothing_else(tmp_path: Path, name: str) -> None:
    final = tmp_path / name
    (final / "data").mkdir(parents=True)
    left = [name_aside(final), name_aside(final / "log.jsonl"), name_aside(final / "data/a.b")]
    stays = [final / "data/a.b", final / ".lock", name_aside(tmp_path / f"{name}.training"),
             name_aside(tmp_path / f"x{name}"), tmp_path / ".other.0a1b2c3"]  # fmt: skip
    for path in (*left, *stays):
        path.touch()
    with dir_aside(final) as used:
        sweep(final)
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in stays)
        assert used.is_dir()


def test_an_old_folder_comes_back_after_a_kill_in_the_middle_of_the_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "model"
    final.mkdir()
    (final / "a").write_text("old")
    new = name_aside(final)
    new.mkdir()
    rename = Path.rename

    def dies(path: Path, target: Path) -> Path:
        if path == new:
            os._exit(9)
        return rename(path, target)

    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(Path, "rename", dies)
            replace_dir(new, final)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not final.exists()
    sweep(final)
    assert (final / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["model"]


def test_a_name_beside_a_folder_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model/unet").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "model")
    assert beside(".", "training") == tmp_path / "model.training"
    assert beside("unet/..", "training") == tmp_path / "model.training"
    assert beside("unet/", "training") == Path("unet.training")
    assert beside("a.b", "training") == Path("a.b.training")
    with pytest.raises(UserError, match="root of the file system"):
        beside("/", "training")
