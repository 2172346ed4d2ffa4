"""Tiny language models, built once for the tests of this stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_language import build_tiny_language_model


@pytest.fixture(scope="session")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Gemma 3."""
    return build_tiny_language_model(tmp_path_factory.mktemp("language") / "gemma")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Llama."""
    folder = tmp_path_factory.mktemp("language") / "llama"
    return build_tiny_language_model(folder, family="llama")
