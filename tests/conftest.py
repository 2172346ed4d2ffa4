"""What holds for every test: few threads, no network, no cache of the user's."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports torch or datasets: these are read once, at import.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run in several processes, one a core
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else threads spin where cores are busy
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="overpaint-tests-cache-")
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="overpaint-tests-")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# A shell has Ctrl-C ignored in background jobs, and so would every process that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
MOST_PROCESSES = 4  # each holds torch and some models: about 1.5 GiB
CACHES = (os.environ["HF_HOME"], os.environ["XDG_CACHE_HOME"])


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `-n auto` starts: one a core for folders, none for a few named files.

    A process takes ten seconds to import what the tests need, which a single file is not worth.
    """
    if not all((config.invocation_params.dir / name).is_dir() for name in config.args):
        return 0
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return min(len(usable), MOST_PROCESSES)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector of garbage need not look at it each time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Delete what the tests' own cache holds when they are done."""
    for folder in CACHES:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout: the folder that holds README.md."""
    return ROOT


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """A test may set torch's number of threads; the next one begins with the usual one."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    yield
    if torch and torch.get_num_threads() != before:
        torch.set_num_threads(before)
