"""Counting rows: how many were seen, kept, and rejected for which reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Reasons that several stages have, in the words of the summary.
EMPTY = "empty"
OVER_LONG = "over-long"
DUPLICATE = "duplicate"
NO_OP = "the caption does not change"

EXAMPLES_A_REASON = 3
_SHOWN = 120  # characters of an example


@dataclass
class Tally:
    """Rows seen, kept and rejected by reason, with a few examples of each."""

    seen: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Rows that were not rejected."""
        return self.seen - self.rejected.total()

    def reject(self, reason: str, example: str) -> None:
        """Count one rejected row; it must have been counted in `seen`."""
        self.rejected[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES_A_REASON:
            shown.append(example if len(example) <= _SHOWN else f"{example[:_SHOWN]}…")

    def add(self, other: Tally) -> None:
        """Count what another tally counted."""
        self.seen += other.seen
        self.rejected += other.rejected
        for reason, examples in other.examples.items():
            shown = self.examples.setdefault(reason, [])
            shown.extend(examples[: EXAMPLES_A_REASON - len(shown)])

    def commonest(self) -> str:
        """The three commonest reasons in words; nothing where there is none."""
        return ", ".join(f"{count} × {why}" for why, count in self.rejected.most_common(3))

    def to_dict(self) -> dict[str, Any]:
        """As JSON; the commonest reason first."""
        ordered = sorted(self.rejected.items(), key=lambda item: (-item[1], item[0]))
        return {
            "seen": self.seen,
            "kept": self.kept,
            "rejected": dict(ordered),
            "examples": {reason: self.examples[reason] for reason, _ in ordered},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tally:
        """What `to_dict` gave."""
        return cls(values["seen"], Counter(values["rejected"]), dict(values["examples"]))
