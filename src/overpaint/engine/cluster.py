"""Ray itself: a cluster that runs already, or one on this machine for as long as it is needed."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from overpaint.engine.job import Engine
from overpaint.errors import UserError, missing_extra

OBJECT_STORE_BYTES = 256 << 20  # some shards on their way; Ray would take a third of the memory

_MARK = "OVERPAINT_RAY"  # set for the processes of a Ray that is started here

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
    own = {} if address else {**_OWN, _MARK: secrets.token_hex(16), "PYTHONPATH": _importable()}
    with _environment({**_QUIET, **own}):
        ray = _import_ray()
        if ray.is_initialized():
            yield ray, address is None
            return
        with nullcontext() if address else _reaper(own[_MARK]) as reaper:
            try:
                with _signals_kept():
                    _start(ray, address, engine.workers)
                if reaper is not None:
                    reaper.write(b"started\n")
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


@contextmanager
def _reaper(mark: str) -> Iterator[IO[bytes]]:
    """See that no process of a Ray that is started in the block outlives this one.

    Gives the pipe to the program `reaper`, for a line when Ray is there.
    """
    program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py"))]
    environment = {name: value for name, value in os.environ.items() if name != _MARK}
    with subprocess.Popen(
        [*program, f"{_MARK}={mark}"],
        env=environment,
        stdin=subprocess.PIPE,
        bufsize=0,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C at the terminal is not for it
    ) as reaper:
        assert reaper.stdin is not None
        yield reaper.stdin  # closed at the end, and then that program's end is waited for


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray has SIGTERM end a process its own way, whoever handled it before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise missing_extra("engine: ray", "scale") from error
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
