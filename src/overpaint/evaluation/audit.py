"""What an audit is: a further section of the report, made of edits of its own.

Audits themselves live in `overpaint.audits`; whoever calls `evaluate` says which of them run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from overpaint.editing import Editor
from overpaint.evaluation.cases import CaseSet
from overpaint.evaluation.judges import Note
from overpaint.evaluation.scoring import Scorer
from overpaint.evaluation.settings import SamplingSettings
from overpaint.report.sections import Findings


@dataclass(frozen=True)
class AuditContext:
    """One model, and what it is audited with."""

    editor: Editor
    cases: CaseSet
    scorer: Scorer
    sampling: SamplingSettings
    folder: Path
    """where results lie that a rerun can take, see `cache.cached_result`"""
    origin: Mapping[str, Any]
    """what every result of this model is made from (JSON values)"""
    note: Note


class Audit(Protocol):
    """One section of the report."""

    @property
    def name(self) -> str:
        """What the report's origin calls it."""

    def origin(self) -> dict[str, Any]:
        """What is asked for, with digests of pictures (JSON values): other values, another report."""

    def examine(self, context: AuditContext) -> Findings:
        """What it finds of one model; empty, with a sentence to `context.note`, where it cannot.

        Raises:
            UserError: the model cannot edit what the audit needs edited.
        """
