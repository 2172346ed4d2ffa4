"""Where `overpaint edit` writes: names that never meet, and what is never replaced."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from overpaint.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

MARK = "overpaint"
"""The key under which our pictures carry what made them, and by which we know them as ours."""

# What some file system forbids in a name, and control characters.
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
_STEM_BYTES = 150  # of the 255 that a name may have


@dataclass(frozen=True)
class Outputs:
    """The files of one edited picture: `path`, or a contact sheet there and its results beside it.

    The results of OUT.png are OUT-0.png, OUT-1.png, ...; each carries what made it.
    """

    path: Path
    count: int

    @property
    def has_sheet(self) -> bool:
        """Whether there are several results."""
        return self.count > 1

    @property
    def results(self) -> list[Path]:
        """Where the pictures go."""
        if not self.has_sheet:
            return [self.path]
        return [self.path.with_stem(f"{self.path.stem}-{i}") for i in range(self.count)]

    @property
    def files(self) -> list[Path]:
        """All that is written."""
        return [*self.results, self.path] if self.has_sheet else [self.path]

    def check(self, inputs: Sequence[str]) -> None:
        """See that every file can be written and none is a picture that is read, or a stranger's.

        Raises:
            UserError: what would be lost, and what to do.
        """
        from overpaint.images import check_can_save

        for file in self.files:
            check_can_save(file)
            if not file.exists():
                continue
            if _is_one_of(file, inputs):
                raise UserError(
                    f"{file} is a picture to be edited, and would be lost: "
                    "give the result another name with -o."
                )
            if not file.is_file():
                raise UserError(f"cannot write {file}: it is not an ordinary file.")
            if file.stat().st_size and _mark_of(file) is None:
                raise UserError(
                    f"{file} exists and was not written by overpaint, so it stays as it is: "
                    "give the result another name with -o, or move that file away."
                )

    def write(
        self, images: Sequence[Image.Image], made_by: Sequence[Mapping[str, Any]]
    ) -> list[Path]:
        """Write the results, what made them in their metadata; gives their paths."""
        from overpaint.images import save_image

        beside = {"contact_sheet": self.path.name} if self.has_sheet else {}
        for path, image, how in zip(self.results, images, made_by, strict=True):
            save_image(image, path, metadata={MARK: json.dumps({**how, **beside})})
        return self.results

    def write_sheet(self, sheet: Image.Image) -> None:
        """Write the contact sheet of several results."""
        from overpaint.images import save_image

        save_image(sheet, self.path, metadata={MARK: json.dumps({"results": self.count})})

    def sweep(self, inputs: Sequence[str]) -> None:
        """Delete the results that an earlier run of the same output left beyond those of this one.

        Those that are among the `inputs` stay: one of several results was edited further.
        """
        kept = {path.name for path in self.files}
        for file in _numbered(self.path):
            if file.name in kept or _is_one_of(file, inputs):
                continue
            if (_mark_of(file) or {}).get("contact_sheet") == self.path.name:
                file.unlink(missing_ok=True)


def plan_outputs(pictures: Sequence[str], output: str | None, results: int) -> list[Outputs]:
    """The files that each of `pictures` (paths or addresses) yields, no two of one name.

    `output` is what -o says: a file, or a folder for any number of pictures; by default they go
    to the present folder. In a folder they are named after their pictures.

    Raises:
        UserError: `output` names one file, and there are several pictures.
    """
    if output is not None and not _is_folder(output):
        if len(pictures) > 1:
            raise UserError(
                f"-o {output} names one file, but there are {len(pictures)} pictures: "
                "name a folder for them."
            )
        return [Outputs(Path(output), results)]
    folder, taken, planned = Path(output or ""), set[str](), []
    for picture in pictures:
        stem = stem_of(picture)
        names = (f"{stem}{f'-{n}' if n > 1 else ''}-edited.png" for n in count(1))
        name = next(name for name in names if _folded(name) not in taken)
        taken.add(_folded(name))
        planned.append(Outputs(folder / name, results))
    return planned


def stem_of(picture: str) -> str:
    """A picture's name without its suffix, safe as part of a name on any system."""
    from overpaint.images import is_url

    if is_url(picture):
        picture = unquote(urlsplit(picture).path).rstrip("/").rpartition("/")[2]
    stem = _UNSAFE.sub("_", Path(picture).stem).strip(" .")
    while len(os.fsencode(stem)) > _STEM_BYTES:
        stem = stem[:-1]
    return stem or "picture"


def _is_folder(output: str) -> bool:
    """Whether -o means a folder: one that is there, ends in a slash or has no suffix."""
    return os.path.isdir(output) or output.endswith(("/", os.sep)) or not Path(output).suffix


def _folded(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _is_one_of(file: Path, inputs: Sequence[str]) -> bool:
    """Whether a file that exists is one of the pictures to be edited, by whatever name."""
    return any(os.path.exists(name) and file.samefile(name) for name in inputs)


def _numbered(path: Path) -> Iterator[Path]:
    """Files named like results beside `path`."""
    pattern = re.compile(rf"{re.escape(path.stem)}-\d+{re.escape(path.suffix)}")
    return (file for file in sorted(path.parent.iterdir()) if pattern.fullmatch(file.name))


def _mark_of(file: Path) -> dict[str, Any] | None:
    """What a picture of ours says of itself; None if it is not ours."""
    from overpaint.images import saved_metadata

    try:
        mark = json.loads(saved_metadata(file).get(MARK, ""))
    except (ValueError, RecursionError):
        return None
    return mark if isinstance(mark, dict) else None
