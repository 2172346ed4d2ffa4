"""A reader sees the old file or the new one, and a failed write is one clear sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from overpaint import files
from overpaint.errors import UserError
from overpaint.files import content_hash, dir_aside, name_aside, replace_dir, sweep, write_atomic


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


def test_content_hash_sees_names_and_bytes_but_no_unfinished_work(tmp_path: Path) -> None:
    def folder(name: str, **contents: str) -> Path:
        for file, text in contents.items():
            write_atomic(tmp_path / name / file, text.encode())
        return tmp_path / name

    first = content_hash(folder("a", x="1", y="2"))
    same = folder("b", y="2", x="1")
    (same / ".unfinished").write_text("half")
    assert content_hash(same) == first
    assert content_hash(folder("c", x="2", y="1")) != first
    assert content_hash(folder("d", x="12", y="")) != first
    with pytest.raises(UserError, match="no such file"):
        content_hash(tmp_path / "absent")


def test_a_quick_hash_sees_large_files_by_their_ends(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(files, "_HASHED_WHOLE", 100)
    monkeypatch.setattr(files, "_BLOCK", 10)
    model = tmp_path / "model"
    (model / "unet").mkdir(parents=True)
    weights = model / "unet" / "weights.safetensors"
    weights.write_bytes(b"a" * 200)
    first = files.quick_hash(model)
    weights.write_bytes(b"a" * 100 + b"b" + b"a" * 99)
    assert files.quick_hash(model) == first  # the price of not reading it
    for changed in (b"b" + b"a" * 199, b"a" * 199 + b"b", b"a" * 201):
        weights.write_bytes(changed)
        assert files.quick_hash(model) != first


def test_a_quick_hash_is_of_what_a_model_is_made_of(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    first = files.quick_hash(tmp_path)
    (tmp_path / "README.md").write_text("a card")
    (tmp_path / ".lock").write_text("")
    assert files.quick_hash(tmp_path) == first
    (tmp_path / "config.json").write_text("[]")
    assert files.quick_hash(tmp_path) != first


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
