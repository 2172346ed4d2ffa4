"""What a run of training is made from, kept in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from overpaint.claims import keep_record
from overpaint.records import binding
from overpaint.training.settings import LoopSettings


def check_configuration(
    accelerator: Accelerator,
    settings: LoopSettings,
    shapes: dict[str, list[int]],
    out: Path,
    describe: dict[str, Any],
) -> None:
    """Write `out/run.json`, or compare with the one that is there; `shapes` are the weights'.

    Raises:
        UserError: naming what differs.
    """
    record = {"settings": binding(settings), "describe": describe, "weights": shapes}
    if accelerator.is_main_process:
        keep_record(out, record)
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        keep_record(out, record)
