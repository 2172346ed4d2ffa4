"""Triplets of the world of colours, and the stage in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from colours import TRIPLETS, open_colours

from overpaint.pairs import stage


@pytest.fixture
def triplets(tmp_path: Path) -> Path:
    path = tmp_path / "triplets.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TRIPLETS), encoding="utf-8")
    return path


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make_pairs` draws and judges in the world of colours; models have no files there."""
    monkeypatch.setattr(stage, "open_generator", open_colours)
    monkeypatch.setattr(stage, "origins", lambda settings: {"model": settings.model})
