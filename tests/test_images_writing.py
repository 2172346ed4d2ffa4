"""A picture is written whole, in the format its name says, or a sentence tells why not."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overpaint.errors import UserError
from overpaint.images import check_can_save, load_image, save_image


@pytest.fixture
def picture() -> Image.Image:
    return Image.effect_noise((32, 24), 80).convert("RGB")


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff"])
def test_lossless_formats_keep_every_pixel(
    picture: Image.Image, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"out{suffix}"
    save_image(picture, path)
    np.testing.assert_array_equal(np.asarray(load_image(path)), np.asarray(picture))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_are_near(suffix: str, tmp_path: Path) -> None:
    flat = Image.new("RGB", (32, 24), (200, 40, 90))
    path = tmp_path / f"out{suffix}"
    save_image(flat, str(path))
    assert np.abs(np.asarray(load_image(path), int) - np.asarray(flat, int)).max() <= 4


def test_metadata_can_be_read_back(picture: Image.Image, tmp_path: Path) -> None:
    told = {"instruction": "rends-le été", "seed": "3"}
    save_image(picture, tmp_path / "out.png", metadata=told)
    with Image.open(tmp_path / "out.png") as image:
        assert image.text == told
    for name in ("out.jpg", "out.webp", "out.tif"):
        save_image(picture, tmp_path / name, metadata=told)
        with Image.open(tmp_path / name) as image:
            assert json.loads(image.getexif()[0x010E]) == told


@pytest.mark.parametrize("name", ["out", "out.docx", "out.bmp", ".png"])
def test_unknown_suffixes_are_refused(picture: Image.Image, name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"let the name end in one of \.png, \.jpg"):
        save_image(picture, tmp_path / name)
    with pytest.raises(UserError, match=r"let the name end in one of \.png, \.jpg"):
        check_can_save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_too_wide_for_the_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"WEBP cannot hold a picture of 20,000 × 8"):
        save_image(Image.new("RGB", (20_000, 8)), tmp_path / "out.webp")
    with pytest.raises(UserError, match=r"JPEG cannot hold a picture of 70,000 × 8"):
        save_image(Image.new("RGB", (70_000, 8)), tmp_path / "out.jpg")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_picture_and_no_leavings(
    picture: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"the old one")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot write .*out\.png: no space left on device"):
        save_image(picture, path)
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]


def test_a_folder_that_cannot_be_written(picture: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "out.png", tmp_path / "folder.png"):
        with pytest.raises(UserError, match="cannot write"):
            save_image(picture, path)
        with pytest.raises(UserError, match="cannot write"):
            check_can_save(path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a /proc")
def test_a_read_only_file_system(picture: Image.Image) -> None:
    with pytest.raises(UserError, match=r"cannot write /proc/out\.png"):
        save_image(picture, "/proc/out.png")


def test_the_check_foresees_a_read_only_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_can_save(tmp_path / "new" / "folders" / "out.png")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="is not writable; choose another one"):
        check_can_save(tmp_path / "new" / "out.png")
