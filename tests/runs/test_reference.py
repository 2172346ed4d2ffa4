"""The page of all keys says what the settings are."""

from __future__ import annotations

from pathlib import Path

from overpaint.runs.reference import reference


def test_the_page_of_keys_is_up_to_date(root: Path) -> None:
    written = (root / "docs/recipe.md").read_text(encoding="utf-8")
    assert written == reference(), "python -m overpaint.runs.reference > docs/recipe.md"
