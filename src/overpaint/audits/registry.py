"""All audits, in the order of their sections; a new one is a module and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overpaint.audits.bias import BiasOfEdits
from overpaint.audits.curve import TradeOffCurve
from overpaint.audits.galleries import Galleries

if TYPE_CHECKING:
    from overpaint.evaluation.audit import Audit
    from overpaint.evaluation.settings import EvaluateSettings

AUDITS = (TradeOffCurve, Galleries, BiasOfEdits)


def audits_of(settings: EvaluateSettings) -> list[Audit]:
    """Those that the settings ask for.

    Raises:
        UserError: a picture or a folder of photographs that one of them needs cannot be read.
    """
    asked = [audit.asked_for(settings) for audit in AUDITS]
    return [audit for audit in asked if audit is not None]
