"""An artifact: a folder and all that it was made from.

    FOLDER/origin.json    what it was made from; once it is made, also the digest of every file
    FOLDER/.lock          held by the process that is making it

"What was this made from", "may I write here" and "is it done" have one answer, here. Nothing is
used again unless everything that it was made from is the same and it still is what was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from overpaint.digests import combined, file_digests
from overpaint.errors import UserError
from overpaint.files import cannot_write, sweep
from overpaint.sealed import plain, read_sealed, seal, write_sealed

if TYPE_CHECKING:
    from pydantic import BaseModel

ORIGIN = "origin.json"
FORMAT = 1  # of origin.json; counts up when the same origin would come to mean another result
State = Literal["absent", "partial", "whole", "other"]

# Marks settings that change no result (`json_schema_extra=FREE`, or a dict with it): they may differ
# when a run is resumed. LAST marks those that only the last step depends on: where they changed, it is done again.
FREE: dict[str, Any] = {"free": True}
LAST: dict[str, Any] = {"last": True}

# Files that earlier versions left in the folders that they wrote.
_EARLIER = ("run.json", "report.json", "calibration.json", "recipe.lock.yaml", "data")
_NAMED = 5  # differences in a sentence


@dataclass(frozen=True)
class Artifact:
    """What a stage makes, and all that it makes it from.

    `origin` (JSON values) holds the stage, the settings that bind, the digests of every input's
    content, the number format and the kind of device. `last` holds the settings that only the last step depends
    on. `content` is what the next stage reads, a file or a folder; by default all of `folder`.
    """

    folder: Path
    origin: Mapping[str, Any]
    content: Path | None = None
    last: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A short digest of the origin, to name a folder by."""
        return seal(self.origin)[:16]

    def state(self) -> State:
        """How far it is.

        absent: nothing was made yet. partial: begun from this origin. whole: made from it, and still
        as it was written. other: the folder holds something else; `differences` say what.

        Raises:
            UserError: `origin.json` cannot be read, or is broken.
        """
        kept = self._kept()
        if self.differences():
            return "other"
        if kept is None or not (_has_work(self.folder) or self._has_content()):
            return "absent"
        made = kept.get("made")
        if made is None or not made["complete"] or made["last"] != plain(self.last):
            return "partial"
        there = self._content_digests()
        return "whole" if there == made["files"] else "partial"

    def differences(self) -> list[str]:
        """What speaks against going on in this folder, in words; empty where nothing does.

        A file of a finished artifact that is not there is no difference: it can be made again. One
        that holds something else than what was written is.
        """
        kept = self._kept()
        if kept is None:
            return self._foreign()
        if not (_has_work(self.folder) or self._has_content()):
            return []  # an origin beside which nothing was made binds nobody
        return self._changes(kept) or self._damage(kept.get("made"))

    def _changes(self, kept: Mapping[str, Any]) -> list[str]:
        """What it was made from and is not made from now."""
        before, now = kept["origin"], plain(self.origin)
        if before.get("stage") != now.get("stage"):  # the rest of them cannot be compared
            return changes({"stage": before.get("stage")}, {"stage": now.get("stage")})
        return changes({"format": kept["format"]}, {"format": FORMAT}) + changes(before, now)

    def _damage(self, made: Mapping[str, Any] | None) -> list[str]:
        """The files that hold something else than what was written."""
        if made is None:
            return []
        written, there, root = made["files"], self._content_digests(), self._content()
        return [
            f"{root / name if name else root} is not what was written there"
            for name in sorted(there)
            if name in written and there[name] != written[name]
        ]

    @contextmanager
    def being_made(self, *, replace: bool = False) -> Iterator[None]:
        """Have the folder for oneself while the block runs, with the origin written into it.

        With `replace`, an artifact of the same stage and another origin gives way: for what is
        quickly made again.

        Raises:
            UserError: the folder holds something else or what was made from another origin, another
                process writes there, or it cannot be written.
        """
        self._refuse(replace)
        with held(self.folder):
            self._refuse(replace)
            kept = self._kept()
            if kept is None or self._changes(kept) or self.state() in ("absent", "other"):
                self._write(None)
            self._sweep()
            yield

    def finish(self, *, complete: bool = True, **facts: Any) -> str:
        """Write down that all is made; returns the digest of the content.

        `facts` (JSON values) are kept beside it. Without `complete` the artifact stays partial: some
        rows were set aside, say, and are to be tried again.
        """
        files = self._content_digests()
        found = combined(files)
        made = {"complete": complete, "digest": found, "facts": facts}
        self._write({**made, "last": plain(self.last), "files": files})
        return found

    def made(self) -> Mapping[str, Any] | None:
        """What `finish` wrote: `digest`, `complete` and `facts`; None before."""
        kept = self._kept()
        return None if kept is None else kept.get("made")

    def _content(self) -> Path:
        return self.folder if self.content is None else self.content

    def _has_content(self) -> bool:
        root = self._content()
        return root.is_file() or (root.is_dir() and root != self.folder and any(root.iterdir()))

    def _content_digests(self) -> dict[str, str]:
        root = self._content()
        if not root.exists():
            return {}
        return {name: value for name, value in file_digests(root).items() if name != ORIGIN}

    def _kept(self) -> dict[str, Any] | None:
        """What `origin.json` holds; None where there is none."""
        path = self.folder / ORIGIN
        kept = read_sealed(path)
        if kept is not None and not ("format" in kept and isinstance(kept.get("origin"), dict)):
            raise UserError(f"{path} does not say what {self.folder} was made from: delete it.")
        return kept

    def _sweep(self) -> None:
        """Delete what killed processes left half written."""
        sweep(self.folder)
        if not self._content().is_relative_to(self.folder):
            sweep(self._content())

    def _write(self, made: Mapping[str, Any] | None) -> None:
        values: dict[str, Any] = {"format": FORMAT, "origin": self.origin}
        if made is not None:
            values["made"] = made
        write_sealed(self.folder / ORIGIN, values)

    def _refuse(self, replace: bool) -> None:
        refuse_file(self.folder)
        if self._kept() is None:
            foreign = self._foreign()
            if foreign:
                raise UserError(f"{foreign[0]}: choose another folder, or delete it.")
        elif not (replace and self._is_of_stage()) and (found := self.differences()):
            more = ["..."] * (len(found) > _NAMED)
            words = "; ".join([*found[:_NAMED], *more])
            kept = self._kept()
            if kept is not None and not self._changes(kept):
                raise UserError(
                    f"{self.folder} is damaged ({words}): delete what is damaged and run the same "
                    "command again, or delete the folder to make all of it anew."
                )
            raise UserError(
                f"{self.folder} was made from something else ({words}): choose another folder, or "
                "delete it to make it anew."
            )

    def _is_of_stage(self) -> bool:
        """Whether the folder holds what the same stage made, of whatever origin."""
        kept = self._kept()
        return kept is not None and kept["origin"].get("stage") == self.origin.get("stage")

    def _foreign(self) -> list[str]:
        """What is there although nothing says what it was made from, in words."""
        if _has_work(self.folder):
            if any((self.folder / name).exists() for name in _EARLIER):
                return [
                    f"{self.folder} does not say what it was made from (it has no {ORIGIN}), as those "
                    "that were written by an earlier version of overpaint"
                ]
            return [f"{self.folder} holds something else"]
        return [f"{self._content()} exists already"] if self._has_content() else []


def refuse_damage(folder: Path, content: Path) -> None:
    """Make sure that a folder which says what was written into `content` still holds that.

    One that does not say it (other people's data, work that is not finished) is taken as it is.

    Raises:
        UserError: naming the files that are not what was written.
    """
    artifact = Artifact(folder, {}, content)
    try:
        made = artifact.made()
    except UserError:
        return  # nothing of ours, or no more to be compared with
    if found := artifact._damage(made):
        raise UserError(
            f"{'; '.join(found[:_NAMED])}: delete that and run the command that wrote it once more."
        )


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, which is made; the system frees it however the process ends.

    Raises:
        UserError: another process holds it, or the folder cannot be made.
    """
    from filelock import FileLock, Timeout

    refuse_file(folder)
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(f"another process is writing to {folder}: wait until it ends.") from None
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()


def refuse_file(folder: Path) -> None:
    """Make sure that no file stands where a folder is to be written.

    Raises:
        UserError: `folder` is a file.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file: give a folder to write to.")


def binding(settings: BaseModel) -> dict[str, Any]:
    """The settings that decide about the result, as JSON values."""
    return settings.model_dump(mode="json", exclude=_marked(settings, FREE) | last_names(settings))


def last_step(settings: BaseModel) -> dict[str, Any]:
    """The settings that only the last step depends on, as JSON values."""
    return settings.model_dump(mode="json", include=last_names(settings))


def last_names(settings: BaseModel) -> set[str]:
    """The names of the settings that are marked `LAST`."""
    return _marked(settings, LAST)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`key was X and is now Y` for every key that differs, in sorted order; an absent one is none.

    Of a mapping inside a mapping, the keys within that differ are named with the key above them.
    """
    found: list[str] = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [f"{key}.{words}" for words in changes(old, new)]
        elif old != new:
            found.append(f"{key} was {_said(old)} and is now {_said(new)}")
    return found


def _said(value: Any) -> str:
    """A value in a sentence; digests are cut short."""
    text = "none" if value is None else str(value)
    if len(text) == 64 and all(letter in "0123456789abcdef" for letter in text):
        return text[:12]
    return text if len(text) <= 80 else f"{text[:77]}..."


def _marked(settings: BaseModel, mark: Mapping[str, Any]) -> set[str]:
    def has(extra: object) -> bool:
        return isinstance(extra, Mapping) and mark.items() <= extra.items()

    fields = type(settings).model_fields
    return {name for name, field in fields.items() if has(field.json_schema_extra)}


def _has_work(folder: Path) -> bool:
    """Whether a folder holds more than its origin and hidden files (a lock, unfinished work)."""
    if not folder.is_dir():
        return False
    return any(path.name != ORIGIN and path.name[0] != "." for path in folder.iterdir())
