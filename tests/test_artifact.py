"""A folder belongs to one origin and to one process, and is used again only as it was written."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from overpaint.artifact import ORIGIN, Artifact, changes, held
from overpaint.errors import UserError
from overpaint.sealed import read_sealed, write_sealed

A = {"model": "a", "settings": {"seed": 3, "steps": 4}}


def make(folder: Path, origin: dict[str, object] = A, *, finish: bool = True) -> Artifact:
    artifact = Artifact(folder, origin, folder / "data")
    with artifact.being_made():
        (folder / "data").mkdir(exist_ok=True)
        for name in "xyz":
            (folder / "data" / name).write_text(f"rows of {name}")
        if finish:
            artifact.finish(made="three files")
    return artifact


def test_from_nothing_to_whole(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path / "out", A, tmp_path / "out" / "data")
    assert artifact.state() == "absent"
    assert make(tmp_path / "out", finish=False).state() == "partial"
    assert artifact.made() is None
    assert make(tmp_path / "out").state() == "whole"
    made = artifact.made()
    assert made is not None
    assert made["facts"] == {"made": "three files"}
    assert len(made["digest"]) == 64


def test_the_same_origin_may_come_again_whatever_the_order_of_its_keys(tmp_path: Path) -> None:
    make(tmp_path)
    before = (tmp_path / ORIGIN).read_bytes()
    same = {"settings": {"steps": 4, "seed": 3}, "model": "a"}
    assert Artifact(tmp_path, same, tmp_path / "data").state() == "whole"
    with Artifact(tmp_path, same, tmp_path / "data").being_made():
        assert (tmp_path / ORIGIN).read_bytes() == before


def test_another_origin_is_refused_by_what_differs(tmp_path: Path) -> None:
    make(tmp_path)
    other = Artifact(tmp_path, {"model": "b", "settings": {"seed": 3, "steps": 5}})
    assert other.state() == "other"
    words = r"\(model was a and is now b; settings.steps was 4 and is now 5\)"
    with pytest.raises(UserError, match=words), other.being_made():
        pass
    assert make(tmp_path).state() == "whole"


def test_what_is_quickly_made_again_gives_way(tmp_path: Path) -> None:
    make(tmp_path)
    other = Artifact(tmp_path, {"model": "b"}, tmp_path / "data")
    with other.being_made(replace=True):
        assert other.state() == "partial"
        other.finish()
    assert other.state() == "whole"
    assert Artifact(tmp_path, A, tmp_path / "data").state() == "other"
    third = Artifact(tmp_path, {"model": "b", "stage": "report"}, tmp_path / "data")
    words = "stage was none and is now report"
    with pytest.raises(UserError, match=words), third.being_made(replace=True):
        pass  # what another stage made never gives way
    assert other.state() == "whole"


def test_of_another_stage_only_the_stage_is_named(tmp_path: Path) -> None:
    make(tmp_path, {**A, "stage": "pairs"})
    other = Artifact(tmp_path, {"stage": "report", "judges": "x"}, tmp_path / "data")
    assert other.differences() == ["stage was pairs and is now report"]


def test_results_of_another_format_are_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(tmp_path)
    monkeypatch.setattr("overpaint.artifact.FORMAT", 2)
    assert made.state() == "other"
    assert made.differences() == ["format was 1 and is now 2"]


@pytest.mark.parametrize("values", [{}, {"step": 3, "files": {}}, {"format": 1, "origin": [1]}])
def test_another_sealed_file_in_the_place_of_the_origin_is_one_sentence(
    tmp_path: Path, values: dict[str, object]
) -> None:
    artifact = make(tmp_path)
    write_sealed(tmp_path / ORIGIN, values)
    with pytest.raises(UserError, match=r"origin\.json does not say what .* delete it"):
        artifact.state()


def test_what_kills_left_is_swept_also_where_the_content_lies_elsewhere(tmp_path: Path) -> None:
    work, model = tmp_path / "m.training", tmp_path / "m"
    left = [work / ".log.0123abcd.jsonl", tmp_path / ".m.0123abcd", model / ".a.0123abcd.json"]
    artifact = Artifact(work, A, model)
    with artifact.being_made():
        (model / "unet").mkdir(parents=True)
        artifact.finish()
    for path in left:
        path.write_text("half")
    with artifact.being_made():
        assert not any(path.exists() for path in left)
    assert artifact.state() == "whole"


def test_an_origin_without_work_binds_nobody(tmp_path: Path) -> None:
    with Artifact(tmp_path, A).being_made():
        pass
    assert Artifact(tmp_path, {"model": "b"}).state() == "absent"
    make(tmp_path, {"model": "b"})
    with pytest.raises(UserError, match="model was b"):
        make(tmp_path)


@pytest.mark.parametrize("name", ["x", "y", "z"])
def test_a_changed_file_is_named_and_a_missing_one_is_made_again(tmp_path: Path, name: str) -> None:
    artifact = make(tmp_path)
    (tmp_path / "data" / name).write_text("other rows")
    assert artifact.state() == "other"
    with pytest.raises(UserError, match=f"is damaged .*data/{name} is not what was written"):
        make(tmp_path)
    assert (tmp_path / "data" / name).read_text() == "other rows"
    (tmp_path / "data" / name).unlink()
    assert artifact.state() == "partial"
    assert make(tmp_path).state() == "whole"


def test_what_only_the_last_step_depends_on_makes_it_partial(tmp_path: Path) -> None:
    make(tmp_path)
    later = Artifact(tmp_path, A, tmp_path / "data", {"save_dtype": "float16"})
    assert later.state() == "partial"
    with later.being_made():
        later.finish()
    assert later.state() == "whole"


def test_rows_that_were_set_aside_leave_it_partial(tmp_path: Path) -> None:
    artifact = make(tmp_path)
    artifact.finish(complete=False)
    assert artifact.state() == "partial"


def test_a_foreign_folder_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("x")
    with pytest.raises(UserError, match="holds something else"):
        make(tmp_path)
    with pytest.raises(UserError, match=r"letter.txt is a file: give a folder"):
        make(tmp_path / "letter.txt")
    beside = Artifact(tmp_path / "work", A, tmp_path / "letter.txt")
    with pytest.raises(UserError, match=r"letter\.txt exists already"), beside.being_made():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("left", ["run.json", "report.json", "calibration.json", "data/x.parquet"])
def test_the_layout_of_earlier_versions_is_refused_in_words(tmp_path: Path, left: str) -> None:
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_text("{}")
    with pytest.raises(UserError, match=r"earlier version .* choose another folder, or"):
        make(tmp_path)


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(UserError, match="another process is writing to"):
        make(tmp_path)
    make(tmp_path)


def test_a_folder_may_be_moved(tmp_path: Path) -> None:
    make(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    moved = Artifact(tmp_path / "there", A, tmp_path / "there" / "data")
    assert moved.state() == "whole"


def test_any_damage_of_a_sealed_file_is_one_sentence(tmp_path: Path) -> None:
    path, values = tmp_path / "a.json", {"rows": [1, 2, 3], "text": "größer", "n": 0.25}
    write_sealed(path, values)
    assert read_sealed(path) == values
    whole, draw = path.read_bytes(), random.Random(0)
    for _ in range(300):
        content = bytearray(whole)
        if draw.random() < 0.3:
            content = content[: draw.randrange(len(content))]
        else:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        found: dict[str, object] | None = values
        with suppress(UserError):
            found = read_sealed(path)
        assert found == values  # white space may change what it likes
    for odd in (b"[]", b"{}", b"null", b"3", b"[" * 100_000, b"\xff\xfe{}"):
        path.write_bytes(odd)
        with pytest.raises(UserError, match="is broken"):
            read_sealed(path)
    assert read_sealed(tmp_path / "absent") is None


def test_changes_are_named_with_their_place() -> None:
    before = {"a": {"b": 1, "c": 2}, "digest": "0" * 64}
    now = {"a": {"b": 1, "c": 3}, "digest": "1" * 64, "new": True}
    assert changes(before, now) == [
        "a.c was 2 and is now 3",
        f"digest was {'0' * 12} and is now {'1' * 12}",
        "new was none and is now True",
    ]
