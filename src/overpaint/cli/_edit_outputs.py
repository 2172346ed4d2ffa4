"""Where `overpaint edit` writes: names that never meet, and what is never replaced."""

from __future__ import annotations

import json
import os
import re
import shlex
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from overpaint import __version__
from overpaint.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

MARK = "overpaint"
"""The key of the metadata, one JSON object, that tells what made a picture; by it we know our own."""

# What some file system forbids in a name, and control characters.
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
_STEM_BYTES = 150  # of the 255 that a name may have


@dataclass(frozen=True)
class Outputs:
    """The files of one edited picture: `path`, or a contact sheet there and its results beside it.

    The results of OUT.png are OUT-0.png, OUT-1.png, ..., of more than ten OUT-00.png, ..., so that
    they sort by name; each carries what made it. Without `singles` the sheet is all that is written.
    """

    path: Path
    count: int
    singles: bool = True

    @property
    def has_sheet(self) -> bool:
        """Whether there are several results."""
        return self.count > 1

    @property
    def results(self) -> list[Path]:
        """Where the pictures go."""
        if not self.has_sheet:
            return [self.path]
        digits = len(str(self.count - 1))
        stems = [f"{self.path.stem}-{i:0{digits}d}" for i in range(self.count)]
        return [self.path.with_stem(stem) for stem in stems] if self.singles else []

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

    def write(self, images: Sequence[Image.Image], made_by: Sequence[Origin]) -> list[Path]:
        """Write the results, what made them in their metadata; gives their paths."""
        from overpaint.images import save_image

        beside = {"contact_sheet": self.path.name} if self.has_sheet else {}
        for path, image, origin in zip(self.results, images, made_by, strict=False):
            save_image(image, path, metadata=origin.metadata(**beside))
        return self.results

    def write_sheet(self, sheet: Image.Image, origin: Origin) -> None:
        """Write the contact sheet of several results."""
        from overpaint.images import save_image

        save_image(sheet, self.path, metadata=origin.metadata())

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


@dataclass(frozen=True)
class Origin:
    """What pictures were made from: enough for a command line that makes them again."""

    picture: str
    instructions: Sequence[str]
    options: Mapping[str, Any]
    """by name (`--seed`); True is a flag, None one that was not given, a list is joined by commas"""
    settings: Mapping[str, Any]
    """JSON values by name"""

    def of(self, made: Mapping[str, Any]) -> Origin:
        """The origin of one result: `made` are its instructions, seed and scales."""
        own = {f"--{name.replace('_', '-')}": made[name] for name in made if name != "instructions"}
        return Origin(
            self.picture,
            made["instructions"],
            {**own, **self.options},
            {**made, **self.settings},
        )

    def of_all(self, results: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Origin:
        """The origin of the contact sheet of `results`, which one run with `options` made."""
        return Origin(
            self.picture,
            self.instructions,
            {**options, **self.options},
            {"results": list(results), **self.settings},
        )

    def given(self) -> dict[str, Any]:
        """The options that have a value."""
        return {name: value for name, value in self.options.items() if value is not None}

    def command(self) -> str:
        """The command line; the edited picture stands in it without its folder or its secrets."""
        options = [
            word
            for name, value in self.given().items()
            if value is not False
            for word in ([name] if value is True else [name, _typed(value)])
        ]
        end = ["--"] if any(text.startswith("-") for text in self.instructions) else []
        words = [*options, *end, _without_place(self.picture), *self.instructions]
        typed = shlex.join(["overpaint", "edit", *words])
        return typed.encode("utf-8", "replace").decode()  # a file's name may be no text

    def metadata(self, **more: Any) -> dict[str, str]:
        """Texts for the file, by key."""
        settings = {"instructions": list(self.instructions), **self.settings, **more}
        return {
            MARK: json.dumps({**settings, "version": __version__}),
            "Description": self.command(),
            "Software": f"overpaint {__version__}",
        }


def _typed(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, list | tuple):
        return ",".join(map(_typed, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _without_place(picture: str) -> str:
    from overpaint.images import is_url

    if is_url(picture):
        from overpaint.net.fetch import shown_url

        return shown_url(picture)
    return Path(picture).name


def model_without_place(model: str) -> str:
    """A model's name as pictures tell it: of a folder or file the last part of its path."""
    return Path(model).resolve().name if os.path.exists(model) else model


def plan_outputs(
    pictures: Sequence[str], output: str | None, results: int, *, singles: bool = True
) -> list[Outputs]:
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
        return [Outputs(Path(output), results, singles)]
    folder, taken, planned = Path(output or ""), set[str](), []
    for picture in pictures:
        stem = stem_of(picture)
        names = (f"{stem}{f'-{n}' if n > 1 else ''}-edited.png" for n in count(1))
        name = next(name for name in names if _folded(name) not in taken)
        taken.add(_folded(name))
        planned.append(Outputs(folder / name, results, singles))
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
