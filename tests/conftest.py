"""What holds for every test: few threads, no network, no cache of the user's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports torch or datasets: these are read once, at import.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else threads spin where cores are busy
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="overpaint-tests-cache-")
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="overpaint-tests-")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout: the folder that holds README.md."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def _no_cache_left() -> Iterator[None]:
    """Delete what the tests' own cache holds when they are done."""
    yield
    import shutil

    for name in ("HF_HOME", "XDG_CACHE_HOME"):
        shutil.rmtree(os.environ[name], ignore_errors=True)
