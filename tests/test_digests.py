"""A change of any byte changes the digest, also where the file's old time is given back."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from overpaint import digests
from overpaint.digests import combined, digest, file_digests, text_digest
from overpaint.errors import UserError
from overpaint.files import write_atomic


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def folder(root: Path, **contents: str) -> Path:
    for file, text in contents.items():
        write_atomic(root / file, text.encode())
    return root


def test_a_digest_sees_names_and_bytes_but_no_unfinished_work_and_no_card(tmp_path: Path) -> None:
    first = digest(folder(tmp_path / "a", x="1", y="2"))
    same = folder(tmp_path / "b", y="2", x="1")
    (same / ".unfinished").write_text("half")
    (same / "README.md").write_text("a card")
    assert digest(same) == first
    assert digest(folder(tmp_path / "c", x="2", y="1")) != first
    assert digest(folder(tmp_path / "d", x="12", y="")) != first
    with pytest.raises(UserError, match="no such file"):
        digest(tmp_path / "absent")


def test_a_file_is_known_by_its_bytes_alone(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"same")
    two.write_bytes(b"same")
    assert digest(one) == digest(two) == file_digests(one)[""]


@pytest.mark.parametrize("place", [0, 1_000_003, 4_999_999])
def test_any_byte_of_a_large_file_counts_whatever_its_time_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path, place: int
) -> None:
    monkeypatch.setattr(digests, "_SETTLED", -1.0)  # as if the file were old
    large = tmp_path / "weights.safetensors"
    large.write_bytes(random.Random(0).randbytes(5_000_000))
    first, status = digest(large), large.stat()
    assert list((own_cache / "overpaint/digests").iterdir())
    time.sleep(0.02)  # a tick of the file system's clock
    with large.open("r+b") as stream:
        stream.seek(place)
        old = stream.read(1)
        stream.seek(place)
        stream.write(bytes([old[0] ^ 1]))
    os.utime(large, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest(large) != first


def test_the_cache_is_used_and_a_broken_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.setattr(digests, "_SETTLED", -1.0)
    large = tmp_path / "large"
    large.write_bytes(bytes(5_000_000))
    first, reads = digest(large), []
    whole = digests._read
    monkeypatch.setattr(digests, "_read", lambda path: reads.append(path) or whole(path))
    assert digest(large) == first
    assert not reads
    for broken in ("", "{", "[]", '{"of": 3}', "[" * 5000, "null"):
        for entry in (own_cache / "overpaint/digests").iterdir():
            entry.write_text(broken)
        assert digest(large) == first
    assert len(reads) == 6


def test_a_file_that_changed_just_now_is_not_kept(tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(5_000_000))
    digest(tmp_path / "large")
    assert not own_cache.exists()


def test_where_a_text_ends_counts() -> None:
    assert text_digest(["ab", "c"]) != text_digest(["a", "bc"]) != text_digest(["abc"])
    assert text_digest(["\ud800"])  # half a pair of surrogates, as JSON can spell it
    assert combined({"a": "1", "b": "2"}) == combined({"b": "2", "a": "1"})


def test_folders_behind_symbolic_links_count_and_circles_end(tmp_path: Path) -> None:
    plain = folder(tmp_path / "plain", **{"unet/weights": "1", "config": "{}"})
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "config").write_text("{}")
    (tmp_path / "linked" / "unet").symlink_to(plain / "unet")
    first = digest(tmp_path / "linked")
    assert first == digest(plain)
    (plain / "unet/weights").write_text("2")
    assert digest(tmp_path / "linked") == digest(plain) != first
    (plain / "unet/again").symlink_to(plain)
    with pytest.raises(UserError, match="levels of symbolic links"):
        digest(tmp_path / "linked")
