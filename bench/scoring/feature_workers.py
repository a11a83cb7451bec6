"""The features of a whole study, computed by several processes or machines before any number is made of them.

The engines are those of `bench.sweep`: a worker holds one network at a time and reads images, this process alone
appends to the stores. Batches have the shape and the thread count of one process, so that the rows are the same.
"""

from __future__ import annotations

import itertools
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import bench.metrics.features as features
import bench.metrics.networks.loading as networks
from bench.errors import InputError
from bench.metrics.feature_rows import Array
from bench.sweep.workers import DEATHS, Abandoned, Emit, Engine, Pulse

BATCHES = 8
"""Batches in one task: what is computed again where a worker is lost."""
LOAD_SECONDS = 1800.0
"""A worker that loads a network, or reads its first batch, may be silent for so long."""
BATCH_SECONDS = 600.0
"""The same for each later batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesTask:
    """Images that one worker reads."""

    number: int
    """0-based."""
    store: int
    """Of the features that are wanted: which they belong to."""
    part: features.Part
    threads: int | None
    """Of torch on a CPU; None: as they are."""

    def __hash__(self) -> int:
        return self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """Rows of one batch."""

    keys: list[str]
    rows: Array
    threads: int | None


@dataclass(slots=True)
class Queue:
    """Tasks in order; those of lost workers first."""

    tasks: Iterator[ImagesTask]
    returned: deque[ImagesTask] = field(default_factory=deque)

    def take(self, worker: str) -> ImagesTask | None:
        return self.returned.popleft() if self.returned else next(self.tasks, None)

    def back(self, task: ImagesTask) -> None:
        self.returned.append(task)


def compute(
    wanted: Sequence[features.Wanted],
    engine: Engine,
    device: str,
    *,
    threads: int | None = None,
    shared: Path | None = None,
    progress: features.Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda line: None,
) -> bool:
    """Complete the stores. Each appended batch is on the disk: a killed call goes on where it was.

    Parameters
    ----------
    wanted
        What is missing, a store each.
    engine, device
        Where the work runs, and on what.
    threads
        Of torch in a worker on a CPU, for a store without rows; others keep theirs.
    shared
        A folder that every worker must see; None: the images are read from a store.
    progress
        Is given label, images done, images of it.
    stop
        Is asked between batches.
    say
        Is given a line about a silent or lost worker.

    Returns
    -------
    bool
        Whether all is there; False: stopped.
    """
    if not any(one.missing.files for one in wanted):
        return True
    totals = [len(one.missing.files) for one in wanted]
    left, stopped = list(totals), False

    def halted() -> bool:
        nonlocal stopped
        stopped = stopped or stop()
        return stopped

    start = partial(_start, shared, device)
    for task, value in engine.run(start, Queue(_tasks(wanted, device, threads)), halted, say):
        if isinstance(value, Abandoned):
            raise InputError(
                f"{DEATHS} workers were lost over the same images ({value.reason}, {value.stage}): the machine's "
                f"memory may be too small for as many; run again with fewer (--processes N)"
            )
        if value is None:
            continue
        left[task.store] -= _append(wanted[task.store].store, value)
        if progress:
            total = totals[task.store]
            progress(f"features {task.part.located.name}", total - left[task.store], total)
    return not stopped


def _append(store: features.FeatureStore, found: Computed) -> int:
    """Keep the rows that are new, and say how many; a task that was given to two workers gives some rows twice."""
    new = [i for i, key in enumerate(found.keys) if key not in store.index]
    if new:
        store.append([found.keys[i] for i in new], found.rows[new], found.threads)
    return len(new)


def _tasks(wanted: Sequence[features.Wanted], device: str, threads: int | None) -> Iterator[ImagesTask]:
    number = itertools.count()
    for store, one in enumerate(wanted):
        held = one.store.threads if one.store.threads is not None else threads
        for part in one.missing.parts(BATCHES * features.batch_shape(device)):
            yield ImagesTask(number=next(number), store=store, part=part, threads=held)


def _start(
    shared: Path | None, device: str, own: str | None, emit: Emit, submit: Any = None
) -> FeatureWorker:
    if shared is not None and not shared.is_dir():
        raise InputError(
            f"node {platform.node()} does not see {shared}: the results must lie on a folder that all nodes share, "
            f"or in an object store (--results s3://…)"
        )
    return FeatureWorker(device=own or device, emit=emit)


@dataclass(kw_only=True)
class FeatureWorker:
    """Computes features in its process, with one network at a time."""

    device: str
    emit: Emit
    _name: str = field(default="", init=False)
    _network: Any = field(default=None, init=False)
    _stage: tuple[str, float, float] = field(default=("starting", 0.0, LOAD_SECONDS), init=False)
    """What it does, when that last made progress, and how many seconds of silence it may have."""
    _longest: float = field(default=0.0, init=False)

    def pulse(self) -> Pulse:
        stage, since, limit = self._stage
        return Pulse(stage=stage, idle=time.monotonic() - since, limit=limit, longest=self._longest)

    def perform(self, task: ImagesTask) -> Iterator[None]:
        """Emits a `Computed` for each batch; yields after each."""
        located = task.part.located
        if self._name != located.name:
            self._enter(f"loading {located.name}", LOAD_SECONDS)
            self._network = None
            self._network = networks.load(located, self.device)
            self._name = located.name
        features.hold_threads(task.threads)
        self._enter(f"features {located.name}", LOAD_SECONDS)
        for keys, rows in features.computed(task.part, self._network, self.device):
            began = self._stage[1]
            self._enter(f"features {located.name}", BATCH_SECONDS)
            self._longest = max(self._longest, self._stage[1] - began)
            self.emit(task, Computed(keys=keys, rows=rows, threads=features.threads_of(self.device)), False)
            yield
        self.emit(task, None, True)

    def _enter(self, stage: str, limit: float) -> None:
        self._stage = (stage, time.monotonic(), limit)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        self._network = None
