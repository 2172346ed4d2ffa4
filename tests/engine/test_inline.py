"""A job in this process: whole shards, nothing twice, bad rows set aside."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from squares import Square, calls, in_shards_of, squares, whole_shards

from overpaint.artifact import Artifact
from overpaint.digests import digest
from overpaint.engine import Engine, quarantined, run
from overpaint.engine.running import NothingMadeError
from overpaint.engine.threads import THREADS
from overpaint.errors import UserError
from overpaint.files import name_aside

TROUBLE = {5: "bad", 7: "bad once", 30: "bad"}


def numbers(out: Path) -> list[int]:
    """The squared numbers of a finished job."""
    paths = sorted((out / "data").glob("*.parquet"))
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    assert all(row["square"] == row["n"] ** 2 for row in rows)
    return sorted(row["n"] for row in rows)


def test_every_row_is_made_once(tmp_path: Path) -> None:
    job = squares(tmp_path)
    tallies = run(job)
    assert numbers(job.out) == list(range(40))
    assert [tally["seen"] for tally in tallies] == [len(shard) for shard in job.shards]
    assert [rows for _, rows in calls(job)] == whole_shards(job)


def test_a_finished_job_opens_no_stage(tmp_path: Path) -> None:
    tallies = run(squares(tmp_path))

    def never() -> Square:
        raise AssertionError("the stage was opened")

    assert run(squares(tmp_path, open_stage=never)) == tallies


def test_a_stopped_job_makes_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overpaint.engine import running

    run(squares(tmp_path, "whole"))
    write, written = running.write_shard, []

    def stop_at_third(*arguments: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(write(*arguments))  # type: ignore[arg-type]

    monkeypatch.setattr(running, "write_shard", stop_at_third)
    job = squares(tmp_path, "stopped")
    with pytest.raises(KeyboardInterrupt):
        run(job)
    monkeypatch.undo()
    run(job)
    assert digest(job.out) == digest(squares(tmp_path, "whole").out)
    # Only the shard that was in flight was made twice.
    once, twice = whole_shards(job), whole_shards(job)[2:3]
    assert sorted(rows for _, rows in calls(job)) == sorted(once + twice)


def test_a_bad_row_is_set_aside_after_three_tries(tmp_path: Path) -> None:
    job = squares(tmp_path, trouble=TROUBLE)
    tallies = run(job)
    assert numbers(job.out) == [n for n in range(40) if n not in (5, 30)]
    assert sorted(quarantined(tallies), key=lambda bad: bad["row"]["n"]) == [
        {"row": {"n": 5, "trouble": "bad"}, "reason": "ValueError: 5 is a bad number"},
        {"row": {"n": 30, "trouble": "bad"}, "reason": "ValueError: 30 is a bad number"},
    ]
    tried = Counter(rows for _, rows in calls(job))
    assert (tried["5"], tried["30"], tried["7"]) == (3, 3, 1)
    assert quarantined(run(job)) == quarantined(tallies)  # from the disk, in a finished run


@pytest.mark.parametrize("size", [1, 4, 9, 40])
@pytest.mark.parametrize("at", [0, 4, 22, 39])
def test_a_fault_that_begins_in_mid_run_stops_the_job_and_costs_nothing(
    tmp_path: Path, size: int, at: int
) -> None:
    """Whatever the shards' size: a device that breaks must not set aside all rows from then on."""
    whole = squares(tmp_path, "whole", shards=in_shards_of(size, {}))
    run(whole)
    job = squares(tmp_path, shards=in_shards_of(size, {at: "breaks"}))
    for _ in range(2):  # still broken
        with pytest.raises(
            (UserError, RuntimeError, NothingMadeError), match="device is gone"
        ) as e:
            run(job)
        if size <= at:
            assert f"{at - at % size} of 40 done every one fails, also" in str(e.value)
    (tmp_path / "broken").unlink()
    run(job)
    assert digest(job.out) == digest(whole.out)


@pytest.mark.parametrize("size", [1, 9, 40])
@pytest.mark.parametrize("bad", [(0,), (11, 12), range(9, 30), (2, 39)])
def test_rows_set_aside_are_tried_again_by_a_rerun(
    tmp_path: Path, size: int, bad: Sequence[int]
) -> None:
    whole = squares(tmp_path, "whole", shards=in_shards_of(size, {}))
    run(whole)
    job = squares(tmp_path, shards=in_shards_of(size, dict.fromkeys(bad, "unmended")))
    run(job)
    assert numbers(job.out) == [n for n in range(40) if n not in bad]
    before, tried = digest(job.out), len(calls(job))
    assert [row["row"]["n"] for row in quarantined(run(job))] == sorted(bad)
    assert digest(job.out) == before
    again = {int(n) for _, rows in calls(job)[tried:] for n in rows.split(",")}
    assert len(again - {*bad}) <= 1  # beside them one that is good, to see that all else works
    (tmp_path / "mended").touch()
    assert quarantined(run(job)) == []
    assert digest(job.out) == digest(whole.out)
    tried = len(calls(job))
    run(job)
    assert len(calls(job)) == tried


def test_killed_while_it_makes_a_shard_again_a_run_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overpaint.engine import running

    whole = squares(tmp_path, "whole", shards=in_shards_of(10, {}))
    run(whole)
    job = squares(tmp_path, shards=in_shards_of(10, {13: "unmended"}))
    run(job)
    (tmp_path / "mended").touch()
    for name in ("write_shard", "write_sealed"):

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(running, name, stop)
            with pytest.raises(KeyboardInterrupt):
                run(job)
    run(job)
    assert digest(job.out) == digest(whole.out)


def test_ctrl_c_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from overpaint.engine import inline

    make = inline.Task.make

    def stop_at_third(task: inline.Task, *arguments: Any) -> Any:
        if task.index == 2:
            raise KeyboardInterrupt
        return make(task, *arguments)

    monkeypatch.setattr(inline.Task, "make", stop_at_third)
    with pytest.raises(KeyboardInterrupt) as stop:
        run(squares(tmp_path))
    assert "squares: 2 of 5 shards are finished and kept" in stop.value.__notes__[0]


def test_an_error_of_every_row_ends_the_job(tmp_path: Path) -> None:
    """Else a mistake in the code would set aside a whole data set."""
    with pytest.raises(ValueError, match="is a bad number"):
        run(squares(tmp_path, trouble=dict.fromkeys(range(40), "bad")))


def test_bad_rows_at_the_beginning_wait_for_the_first_good_one(tmp_path: Path) -> None:
    whole = squares(tmp_path)
    first = [row["n"] for row in whole.shards[0]]
    trouble = dict.fromkeys(first, "bad")
    small = [[row] for row in squares(tmp_path, trouble=trouble).shards[0][:5]]
    good = [{"n": n, "trouble": None} for n in (50, 51)]
    job = squares(tmp_path, shards=[*small, good])
    assert len(quarantined(run(job))) == 5
    assert numbers(job.out) == [50, 51]


def test_half_written_files_of_a_kill_are_swept(tmp_path: Path) -> None:
    job = squares(tmp_path)
    run(job)
    final = [job.out / "data/train-00001.parquet", job.out / "tallies/a.json", job.out / "b.html"]
    left = [name_aside(path) for path in final]
    for path in left:
        path.write_bytes(b"half")
    run(job)
    assert not any(path.exists() for path in left)
    assert numbers(job.out) == list(range(40))


def test_a_user_error_ends_the_job_with_its_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the model for squares is not here: install it"):
        run(squares(tmp_path, trouble={3: "user"}))


def test_a_stage_that_cannot_be_opened_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Square:
        raise UserError("no such model")

    with pytest.raises(UserError, match="no such model"):
        run(squares(tmp_path, open_stage=broken))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["data/train-00003-of-00005.parquet", "tallies"])
def test_a_shard_that_changed_is_never_taken_for_what_was_made(tmp_path: Path, file: str) -> None:
    job = squares(tmp_path)
    run(job)
    whole = digest(job.out)
    if file == "tallies":  # what says what a shard holds: made again with it
        for number, content in enumerate((b"", b"{}", b"[]", b'{"shard": 1}', b"\xff")):
            (job.out / f"tallies/train-{number:05d}-of-00005.json").write_bytes(content)
        run(squares(tmp_path))
        assert digest(job.out) == whole
        return
    content = bytearray((job.out / file).read_bytes())
    content[len(content) // 2] ^= 1
    (job.out / file).write_bytes(content)
    with pytest.raises(UserError, match=r"train-00003-of-00005.parquet is not what was written"):
        run(squares(tmp_path))
    (job.out / file).unlink()
    run(squares(tmp_path))
    assert digest(job.out) == whole


def test_progress_counts_each_row_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(squares(tmp_path, trouble=TROUBLE))
    assert capsys.readouterr().err.splitlines()[-1].startswith("squares: 40/40, ")


def test_every_job_computes_with_the_same_number_of_threads(tmp_path: Path) -> None:
    seen = []

    def open_stage() -> Square:
        seen.append(torch.get_num_threads())
        return Square(tmp_path / "notes")

    before = torch.get_num_threads()
    torch.set_num_threads(THREADS + 1)
    run(squares(tmp_path, open_stage=open_stage))
    assert (seen, torch.get_num_threads()) == ([THREADS], THREADS + 1)
    torch.set_num_threads(before)


def test_the_local_engine_is_one_worker(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="take the ray engine for more"):
        run(squares(tmp_path), Engine("local", workers=2))


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file"):
        run(squares(tmp_path, out=tmp_path / "file" / "out"))


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("overpaint.files._flush", full)
    with pytest.raises(UserError, match=r"cannot write .*: no space left on device"):
        run(squares(tmp_path))
    monkeypatch.undo()
    run(squares(tmp_path))
    assert numbers(tmp_path / "out") == list(range(40))


@pytest.mark.slow
def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    program = [sys.executable, str(Path(__file__).with_name("squares.py")), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    artifact = Artifact(tmp_path / "out", {"numbers": 40})
    other = subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL)
    try:
        while not (tmp_path / "17.mark").exists():
            assert other.poll() is None
            time.sleep(0.05)
        with pytest.raises(UserError, match="another process is writing to"), artifact.being_made():
            pass
    finally:
        other.kill()
        other.wait()
    with artifact.being_made():  # the system freed what the dead process held
        run(squares(tmp_path))
    assert numbers(tmp_path / "out") == list(range(40))


def test_without_ray_one_sentence_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install -c constraints.txt 'overpaint\[scale\]'"):
        run(squares(tmp_path), Engine("ray"))
