"""The engine for many machines: Ray, an actor for each GPU (or CPU), encoding in CPU tasks beside them."""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from bench.errors import InputError
from bench.sweep.processes import portable
from bench.sweep.workers import (
    BEAT,
    BEAT_SECONDS,
    LOST,
    STOP,
    Handle,
    Performer,
    Result,
    Say,
    Source,
    Start,
    Stop,
    run_pool,
)

WORKER_TIMEOUT = 120.0
"""Seconds to wait for the first worker, or for another one when all are lost."""
PASSED = (
    "PYTHONPATH",
    "OMP_NUM_THREADS",
    "TURBO_BENCH_CACHE",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "AWS_ENDPOINT_URL",
)
"""Environment the workers share with the driver. Credentials are not among it: every node has its own."""


class Cluster:
    """Workers on the nodes of a Ray cluster."""

    def __init__(self, address: str, actors: int | None, device: str, alone: Callable[[Any], bool]) -> None:
        """address: of the cluster, or `auto`. actors: None is one for each GPU, or each CPU if there is none.

        device: `cuda`, `cpu`, or `auto`: the GPUs if the cluster has any.
        """
        self.ray = connect(address)
        self.alone = alone
        resources = self.ray.cluster_resources()
        gpus, cpus = (int(resources.get(kind, 0)) for kind in ("GPU", "CPU"))
        if device == "cuda" and not gpus:
            raise InputError(f"--device cuda: the Ray cluster at '{address}' has no GPU; use --device cpu")
        if not cpus:
            raise InputError(
                f"the Ray cluster at '{address}' has no CPU to encode images with: `ray start --num-cpus N`"
            )
        self.device = "cuda" if gpus and device != "cpu" else "cpu"
        self.actors = actors or (gpus if self.device == "cuda" else cpus)

    def run(self, start: Start, source: Source, stop: Stop, say: Say = lambda line: None) -> Iterator[Result]:
        pool = _ActorPool(self.ray, start, self.device, self.actors)
        try:
            yield from run_pool(pool, source, stop, self.alone, say)
        finally:
            pool.close()
            self.ray.shutdown()


def connect(address: str) -> Any:
    """The ray module, connected. Raises InputError where there is no Ray, or no cluster at the address."""
    try:
        import ray
    except ImportError:
        raise InputError("--engine ray needs Ray: pip install 'turbo-preference-bench[ray]'") from None
    reach(address)
    variables = {name: os.environ[name] for name in PASSED if name in os.environ}
    try:
        ray.init(
            address=address,
            runtime_env={"env_vars": variables},
            log_to_driver=False,
            logging_level=logging.ERROR,
            namespace="bench",
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["no answer"])[0]
        raise InputError(
            f"no Ray cluster at '{address}' ({reason}): start one with `ray start --head`, or see `bench slurm`"
        ) from None
    return ray


def reach(address: str) -> None:
    """Raises InputError where nothing listens at `host:port`; Ray itself would try for minutes.

    Ray's client (`ray://`) is not supported: the engine was never run through it.
    """
    if "://" in address:
        raise InputError(
            f"--address {address}: give the cluster's own address, as `ray start --head` says it"
        )
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise InputError(
            f"no Ray cluster at '{address}' ({error.strerror or error}): start one with `ray start --head`, "
            f"or see `bench slurm`"
        ) from None


class _Actor:
    """A worker inside its actor. `perform` has a thread of its own; the other methods answer beside it."""

    def __init__(self, start: Any, device: str) -> None:
        self.found: queue.SimpleQueue[tuple[Any, Any, bool]] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self.start, self.device = start, device
        self.worker: Performer | None = None
        self.beat = 0.0

    def perform(self, task: Any) -> None:
        try:
            if self.worker is None:
                self.worker = self.start(self.device, self._emit, submit=_encoder())
            assert self.worker is not None
            if task == STOP:
                self.worker.flush()
                self._emit(STOP, None, True)
                return
            if not self.stopped.is_set():
                for _ in self.worker.perform(task):
                    if self.stopped.is_set():
                        break
        except BaseException as error:
            self._emit(task, portable(error), True)

    def stop_soon(self) -> None:
        """End after the batch that is being made."""
        self.stopped.set()

    def results(self) -> list[tuple[Any, Any, bool]]:
        """What there is, or what comes within half a second, and from time to time the worker's pulse."""
        found: list[tuple[Any, Any, bool]] = []
        if self.worker is not None and time.monotonic() - self.beat > BEAT_SECONDS:
            self.beat = time.monotonic()
            found.append((BEAT, self.worker.pulse(), False))
        try:
            found.append(self.found.get(timeout=0.5))
            while True:
                found.append(self.found.get_nowait())
        except queue.Empty:
            return found

    def _emit(self, task: Any, value: Any, last: bool) -> None:
        self.found.put((task, portable(value) if isinstance(value, BaseException) else value, last))


def _encoder() -> Callable[..., Future[Any]]:
    """Runs a function as a CPU task, wherever in the cluster a CPU is free; on a lost node it is run again."""
    import ray

    tasks: dict[Any, Any] = {}

    def submit(function: Any, *arguments: Any) -> Future[Any]:
        if function not in tasks:
            tasks[function] = ray.remote(num_cpus=1)(function)
        return tasks[function].remote(*arguments).future()

    return submit


class _ActorPool:
    """The cluster's workers as `bench.sweep.workers.run_pool` sees them."""

    def __init__(self, ray: Any, start: Start, device: str, count: int) -> None:
        self.ray = ray
        self.start = ray.put(start)
        self.device = device
        self.handles: list[Handle] = []
        self.answers: dict[Any, Handle] = {}
        """The pending call of `results` of each worker, also of those that are not up yet."""
        self.spawned = 0
        self.empty_since = time.monotonic()
        # No CPU is an actor's own: those that crowd onto the nodes that are left would keep it from the encoding.
        self.kind = ray.remote(
            num_gpus=int(device == "cuda"),
            num_cpus=0,
            scheduling_strategy="SPREAD",
            concurrency_groups={"compute": 1, "talk": 2},
        )(_Actor)
        for _ in range(count):
            self._spawn()

    def _spawn(self) -> None:
        self.spawned += 1
        line = self.kind.remote(self.start, self.device)
        self._ask(Handle(f"actor {self.spawned}", line))

    def _ask(self, handle: Handle) -> None:
        self.answers[handle.line.results.options(concurrency_group="talk").remote()] = handle

    def send(self, handle: Handle, task: Any) -> None:
        if task == STOP:
            handle.line.stop_soon.options(concurrency_group="talk").remote()
        handle.line.perform.options(concurrency_group="compute").remote(task)

    def receive(self, seconds: float) -> list[tuple[Handle, Any]]:
        ready, _ = self.ray.wait(list(self.answers), num_returns=1, timeout=seconds)
        found: list[tuple[Handle, Any]] = []
        for answer in ready:
            handle = self.answers.pop(answer)
            try:
                messages = self.ray.get(answer)
            except self.ray.exceptions.RayActorError:
                found += self._lost(handle)
                continue
            if handle not in self.handles:
                self.handles.append(handle)
            found += [(handle, message) for message in messages]
            self._ask(handle)
        self._check_timeout()
        return found

    def _lost(self, handle: Handle) -> list[tuple[Handle, Any]]:
        self.ray.kill(handle.line)
        if handle in self.handles:
            return [(handle, LOST)]
        self._spawn()  # it went before it was up
        return []

    def _check_timeout(self) -> None:
        now = time.monotonic()
        if self.handles:
            self.empty_since = now
        elif now - self.empty_since > WORKER_TIMEOUT:
            raise InputError(
                f"the Ray cluster has given no worker for {WORKER_TIMEOUT:.0f} s; it has "
                f"{self.ray.available_resources()}: is it busy, or its nodes gone (`ray status`)?"
            )

    def end(self, handle: Handle) -> None:
        self.answers = {answer: other for answer, other in self.answers.items() if other is not handle}
        self.ray.kill(handle.line)

    def replace(self, handle: Handle) -> str:
        self._spawn()
        return "its actor or its node is gone"

    def close(self) -> None:
        for handle in {id(m): m for m in [*self.handles, *self.answers.values()]}.values():
            self.ray.kill(handle.line)
