"""Shards on Ray: one plain actor a worker, and another one when it dies.

The actors only compute. What they make comes back to this process, which alone writes the
folder: so workers need no common disk, and none can write when the run has ended.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

from overpaint.engine.cluster import connected
from overpaint.engine.job import Done, Engine, Job, Made, Row, Stage
from overpaint.engine.shard import TRIES, Task, Witness, WorkerDiedError
from overpaint.engine.threads import THREADS, fixed_threads
from overpaint.errors import UserError

SECONDS_BETWEEN_LOOKS = 0.5


def make_on_ray(
    job: Job, tasks: Sequence[Task], done: Done, witness: Witness, engine: Engine
) -> Generator[tuple[int, Made | None]]:
    """Yield (index, what was made) for each of these shards of the job, as they are ready.

    Raises:
        UserError: Ray or its cluster cannot be had, workers die while they open the stage, or
            the stage says so.
    """
    left: SimpleQueue[Task] = SimpleQueue()
    for task in tasks:
        left.put(task)
    ready: SimpleQueue[tuple[int, Made | None]] = SimpleQueue()
    lock = Lock()

    def count(rows: int) -> None:
        with lock:  # every worker has a thread here that counts
            done(rows)

    def work(worker: _Worker) -> None:
        worker.open()  # first: a worker that finds no place in the cluster must hold no shard
        while True:
            try:
                task = left.get_nowait()
            except Empty:
                worker.close()  # its place may be what the successor of a dead one waits for
                return
            ready.put((task.index, task.make(worker.make, count, witness)))

    with connected(engine) as (ray, own):
        place = needs(ray, own, engine)
        some = range(min(engine.workers, len(tasks)))
        workers = [_Worker(ray, job.open_stage, place) for _ in some]
        threads = ThreadPoolExecutor(len(workers))
        try:
            yield from _as_ready(ready, len(tasks), [threads.submit(work, w) for w in workers])
        finally:
            for worker in workers:
                worker.close()
            threads.shutdown()


def _as_ready(
    ready: SimpleQueue[tuple[int, Made | None]], count: int, at_work: Sequence[Future[None]]
) -> Iterator[tuple[int, Made | None]]:
    """Take `count` shards from the queue as they come, or the first error."""
    while count:
        try:
            yield ready.get(timeout=SECONDS_BETWEEN_LOOKS)
            count -= 1
        except Empty:
            pass
        if ready.empty():  # what is finished counts, whatever became of another worker
            for future in at_work:
                if future.done():
                    future.result()


class _Actor:
    """The stage, in the worker's process; Ray calls it from two threads, one to look."""

    def __init__(self) -> None:
        self.rows_tried = 0

    def open(self, open_stage: Callable[[], Stage], folder: str, home: str) -> None:
        """Load the models; their paths are taken from `folder`, as where the run was started.

        Raises:
            UserError: the stage says so; on another node than `home` with the node's address.
        """
        if os.path.isdir(folder):
            os.chdir(folder)
        try:
            with fixed_threads():
                self.stage = open_stage()
        except UserError as error:
            node = _node()
            if node == home:
                raise
            raise UserError(
                f"on the node {node}: {str(error).rstrip('.')} (models and inputs must lie under "
                "the same path on every node, or be hub ids)."
            ) from error

    def make(self, rows: Sequence[Row]) -> Made:
        """Make one shard."""
        self.rows_tried = 0
        with fixed_threads():
            return self.stage(rows, self._count)

    def tried(self) -> int:
        """How many rows of the shard were tried."""
        return self.rows_tried

    def _count(self, rows: int) -> None:
        self.rows_tried += rows


class _Worker:
    """An actor as seen from here, the one at work or its successor."""

    def __init__(self, ray: Any, open_stage: Callable[[], Stage], needs: dict[str, float]) -> None:
        self.ray, self.open_stage, self.needs = ray, open_stage, needs
        self.died = (
            ray.exceptions.RayActorError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.OutOfMemoryError,
        )
        self.actor: Any = None
        self.closed = False
        self.lock = Lock()

    def open(self) -> None:
        """Start an actor and load the models there.

        Raises:
            UserError: it dies every time, or the stage says so.
        """
        for _ in range(TRIES):
            opened = False
            try:
                self._call(self._start().open, self.open_stage, os.getcwd(), _node())
                opened = True
                return
            except self.died:
                continue
            finally:
                if not opened:
                    self._end()
        raise UserError(
            f"a worker died {TRIES} times while it loaded the models: most often the memory does "
            "not suffice, so take fewer workers."
        )

    def make(self, rows: Sequence[Row], done: Done) -> Made:
        """Make one shard there, as a stage does here.

        Raises:
            WorkerDiedError: the actor is no more.
        """
        if self.actor is None:
            self.open()
        try:
            return self._call(self.actor.make, rows, done=done)
        except self.died as error:
            self._end()
            raise WorkerDiedError("the process of its worker died") from error

    def close(self) -> None:
        """End the actor, whatever it does, and start none again."""
        with self.lock:
            self.closed = True
        self._end()

    def _start(self) -> Any:
        with self.lock:
            if self.closed:
                raise UserError("the run was stopped.")
            self.actor = self.ray.remote(_Actor).options(max_concurrency=2, **self.needs).remote()
            return self.actor

    def _end(self) -> None:
        actor, self.actor = self.actor, None
        if actor is not None:
            self.ray.kill(actor)

    def _call(self, method: Any, *args: object, done: Done = lambda rows: None) -> Any:
        """What a method of the actor returns; `done` is told of the rows that it tries."""
        actor, result, told = self.actor, method.remote(*args), 0
        try:
            while not self.ray.wait([result], timeout=SECONDS_BETWEEN_LOOKS)[0]:
                tried = self.ray.get(actor.tried.remote())
                done(tried - told)
                told = tried
            return self.ray.get(result)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from error


def needs(ray: Any, own: bool, engine: Engine) -> dict[str, float]:
    """What each worker takes of the cluster: its processors, and its share of the GPUs.

    A cluster of our own counts workers, not processors. Without any GPU the share is 0.

    Raises:
        UserError: no node of the cluster has enough for one worker.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = 1 if own else THREADS
    if max((node.get("CPU", 0) for node in nodes), default=0) < cpus:
        raise UserError(
            f"no node of the Ray cluster has {cpus} processors for a worker: add one that has."
        )
    gpus = sum(node.get("GPU", 0) for node in nodes)
    if not gpus:
        return {"num_cpus": cpus, "num_gpus": 0}
    share = engine.gpus_per_worker or 1 / math.ceil(engine.workers / gpus)
    if share > (most := max(node.get("GPU", 0) for node in nodes)):
        raise UserError(
            f"gpus_per_worker: {share:g} is more than any node of the Ray cluster has ({most:g})."
        )
    return {"num_cpus": cpus, "num_gpus": share}


def _node() -> str:
    """The address of the node of the cluster that this process is on."""
    import ray

    address: str = ray.util.get_node_ip_address()
    return address
