"""What every command that computes does before it imports a library that makes threads."""

from __future__ import annotations

import os


def quieten_threads() -> None:
    """Threads that spin while they wait make small models tens of times slower on a busy machine."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
