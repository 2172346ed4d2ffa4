"""A recipe of tiny models, and an uninterrupted run of it, for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import build_world

from overpaint.cli import main


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of tiny models."""
    pytest.importorskip("llguidance", reason="needs the extra llm")
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def whole(recipe: Path) -> Path:
    """An uninterrupted run."""
    folder = recipe.parent / "whole"
    assert main(["run", str(recipe), "-o", str(folder)]) == 0
    return folder
