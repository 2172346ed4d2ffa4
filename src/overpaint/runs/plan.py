"""What a run has still to do: stage by stage, from what lies in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from overpaint.errors import UserError
from overpaint.records import changes
from overpaint.runs.lock import Lock
from overpaint.runs.stages import Stage

State = Literal["done", "half done", "changed", "to do"]

_SHOWN = 3  # changes


@dataclass(frozen=True)
class Step:
    """One line of the plan; `words` say what was made, what is there, or what differs."""

    stage: Stage
    state: State
    words: str


def look(stage: Stage, before: Stage | None, lock: Lock) -> Step:
    """How far a stage is.

    `changed`: it was made, or begun, from something else. It is asked to go on all the same, for
    only the stage knows which of its settings may change; it refuses the others in a sentence.
    """
    how_far = stage.how_far()
    if how_far is None:
        return Step(stage, "to do", stage.plan())
    record = lock.stages.get(stage.name)
    if record is None:
        return Step(stage, "half done", f"{how_far}; {stage.plan()}")
    changed = changes(record["made_from"], made_from(stage, before, lock))
    if changed:
        return Step(stage, "changed", "; ".join(changed[:_SHOWN]))
    if "sha256" in record and stage.is_whole():
        return Step(stage, "done", record["made"])
    return Step(stage, "half done", f"{how_far}; {stage.plan()}")


def made_from(stage: Stage, before: Stage | None, lock: Lock) -> dict[str, Any]:
    """All that a stage is made from: also the output of the one before it, by its hash.

    While that one is not done, what the lock says stands: it may come to the same bytes.
    """
    found = stage.made_from()
    if before is not None:
        key = f"sha256 of {before.name}"
        known = lock.stages.get(stage.name, {}).get("made_from", {}).get(key)
        found[key] = lock.sha256(before.name) or known
    return found


def table(steps: Sequence[Step]) -> str:
    """The plan for a terminal: stage, state, words."""
    rows = [("stage", "state", ""), *((s.stage.name, s.state, s.words) for s in steps)]
    return "\n".join(f"{name:<10}{state:<11}{words}".rstrip() for name, state, words in rows)


def need_input(before: Stage | None, wanted: Stage) -> None:
    """Make sure that one stage alone has what it reads.

    Raises:
        UserError: the stage before it is not finished, or the recipe has none and what it would
            have made is not there.
    """
    if before is not None and not before.is_whole():
        raise UserError(
            f"{wanted.name} reads {before.out}, which is not finished: run the recipe without "
            f"--only, or with --only {before.name} first."
        )
    if wanted.source is not None and not wanted.source.is_dir():
        raise UserError(
            f"{wanted.name} reads {wanted.source}, which is not there: bring it there, or give the "
            "recipe the block that makes it."
        )
