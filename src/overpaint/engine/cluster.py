"""Ray itself: a cluster that runs already, or one on this machine for as long as it is needed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from overpaint.engine.job import Engine
from overpaint.errors import UserError

OBJECT_STORE_BYTES = 256 << 20  # some shards on their way; Ray would take a third of the memory

# Said to Ray before it is imported, which is when it reads them.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what workers and Ray itself would say on our stderr
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it announces a change of this default
}
_OWN = {
    # Named after the systems where it is the default: the cluster listens on localhost alone.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_worker_niceness": "0",  # as this process: else any other program starves the workers
}


@contextmanager
def connected(engine: Engine) -> Iterator[tuple[Any, bool]]:
    """Have Ray while the block runs: its module, and whether the cluster is this machine's own.

    A cluster is looked for at `engine.address`, or else at the environment's RAY_ADDRESS; where
    neither is given, one is started for `engine.workers` workers, which import what this
    process can import. Where this process is connected already, that is taken and left running.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    address = engine.address or os.environ.get("RAY_ADDRESS") or None
    logging.getLogger("ray").setLevel(logging.ERROR)
    own = {} if address else {**_OWN, "PYTHONPATH": _importable()}
    with _environment({**_QUIET, **own}):
        ray = _import_ray()
        if ray.is_initialized():
            yield ray, address is None
            return
        try:
            _start(ray, address, engine.workers)
            yield ray, address is None
        finally:
            ray.shutdown()


def _start(ray: Any, address: str | None, workers: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **quiet,
        )
        return
    try:
        ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        why = str(error).strip().split("\n")[0].rstrip(".")
        raise UserError(
            f"cannot join the Ray cluster at {address}: {why}; start one with `ray start --head`, "
            "or unset RAY_ADDRESS to have one for this run."
        ) from error


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "the ray engine needs one more package: pip install 'overpaint[scale]'."
        ) from error
    return ray


def _importable() -> str:
    """Where this process imports from, for workers that start in another folder."""
    return os.pathsep.join(dict.fromkeys(os.path.abspath(path) for path in sys.path))


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
