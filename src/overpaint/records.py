"""What a folder was made from, against what is asked for now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`key was X and is now Y` for every key that differs, in sorted order; an absent one is None.

    Of a mapping inside a mapping, the keys within that differ are named.
    """
    found: list[str] = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changes(old, new)
        elif old != new:
            found.append(f"{key} was {old} and is now {new}")
    return found
