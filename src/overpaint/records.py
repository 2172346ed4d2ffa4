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
    """`key was X and is now Y` for every key that differs, in sorted order; an absent one is None."""
    return [
        f"{key} was {before.get(key)} and is now {now.get(key)}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
