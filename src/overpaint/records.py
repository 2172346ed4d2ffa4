"""What a folder was made from, against what is asked for now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`key was X and is now Y` for every key that differs, in sorted order; an absent one is None."""
    return [
        f"{key} was {before.get(key)} and is now {now.get(key)}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
