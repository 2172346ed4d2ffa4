"""What a folder was made from, against what is asked for now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

# Marks settings that change no result (`json_schema_extra=FREE`): they may differ when a run is
# resumed.
FREE: dict[str, Any] = {"free": True}


def binding(settings: BaseModel) -> dict[str, Any]:
    """The settings that decide about the result, as JSON values."""
    fields = type(settings).model_fields
    free = {name for name, field in fields.items() if field.json_schema_extra == FREE}
    return settings.model_dump(mode="json", exclude=free)


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
