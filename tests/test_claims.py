"""An output folder belongs to one record and to one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from overpaint.claims import RECORD, claimed, keep_record, sole_owner
from overpaint.errors import UserError

RECORD_OF_A = {"model": "a", "settings": {"seed": 3, "steps": 4}}


def claim(folder: Path, record: dict[str, object], work: bool = True) -> None:
    with claimed(folder, record):
        if work:
            (folder / "data").mkdir(exist_ok=True)


def test_the_same_record_may_come_again(tmp_path: Path) -> None:
    claim(tmp_path / "out", RECORD_OF_A)
    before = (tmp_path / "out" / RECORD).read_bytes()
    claim(tmp_path / "out", {"settings": {"steps": 4, "seed": 3}, "model": "a"})
    assert (tmp_path / "out" / RECORD).read_bytes() == before


def test_another_record_is_refused_by_what_differs(tmp_path: Path) -> None:
    claim(tmp_path, RECORD_OF_A)
    other = {"model": "b", "settings": {"seed": 3, "steps": 5}}
    with pytest.raises(UserError, match=r"\(model was a and is now b; steps was 4 and is now 5\)"):
        claim(tmp_path, other)


def test_a_record_without_work_binds_nobody(tmp_path: Path) -> None:
    claim(tmp_path, RECORD_OF_A, work=False)
    claim(tmp_path, {"model": "b"})
    with pytest.raises(UserError, match="model was b"):
        claim(tmp_path, RECORD_OF_A)


def test_a_foreign_folder_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("x")
    with pytest.raises(UserError, match="holds something else"):
        claim(tmp_path, RECORD_OF_A)
    with pytest.raises(UserError, match=r"letter.txt is a file: give a folder"):
        claim(tmp_path / "letter.txt", RECORD_OF_A)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with (
        sole_owner(tmp_path),
        pytest.raises(UserError, match="another process is writing to"),
        claimed(tmp_path, RECORD_OF_A),
    ):
        pass
    claim(tmp_path, RECORD_OF_A)


def test_a_broken_record_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(UserError, match=r"run\.json is broken: delete"):
        keep_record(tmp_path, RECORD_OF_A)
