"""`recipe.lock.yaml`: the recipe as resolved, the versions, and what each stage was made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from overpaint.errors import UserError
from overpaint.files import reason, write_atomic
from overpaint.recipe import Recipe, lock

LOCK = "recipe.lock.yaml"


@dataclass
class Lock:
    """What a run's folder remembers.

    `stages` holds of each stage that began `made_from` (its settings, and hashes of what it
    reads), and once it is finished `made` (in words) and `sha256` (of its output).
    """

    folder: Path
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Lock:
        """The lock of a run, or an empty one where nothing has begun.

        Raises:
            UserError: it cannot be read.
        """
        path = folder / LOCK
        if not path.exists():
            return cls(folder)
        try:
            stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
            return cls(folder, {name: dict(stage) for name, stage in stages.items()})
        except OSError as error:
            raise UserError(f"cannot read {path}: {reason(error)}.") from error
        except (yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError) as error:
            raise UserError(f"{path} is broken: delete it, and run the recipe again.") from error

    def begin(self, name: str, made_from: dict[str, Any]) -> None:
        """A stage starts from nothing."""
        self.stages[name] = {"made_from": made_from}

    def finish(self, name: str, made_from: dict[str, Any], made: str, sha256: str) -> None:
        """A stage is done."""
        self.stages[name] = {"made_from": made_from, "made": made, "sha256": sha256}

    def sha256(self, name: str) -> str | None:
        """The hash of what a stage made; None while it is not done."""
        return self.stages.get(name, {}).get("sha256")

    def write(self, recipe: Recipe) -> None:
        """Write the file; `recipe` is the one that runs now.

        Raises:
            UserError: it cannot be written.
        """
        values = {**lock(recipe), "stages": self.stages}
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        write_atomic(self.folder / LOCK, text.encode())
