"""Where the work runs: in this process (`Here`), or in several, over which `run_pool` presides.

Processes of this machine are in `bench.sweep.processes`, a cluster in `bench.sweep.ray_cluster`.

An engine knows nothing of images. It asks a source for tasks, gives them to workers, and yields what comes of them. A
worker that dies or hangs is replaced and its tasks are given to another. Nobody but the caller writes rows.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

AHEAD = 2
"""Tasks a worker has at most: it never waits for the driver between two."""
DEATHS = 3
"""A task that was given to this many workers who died of it is not given to another."""
STOP = "stop"
"""In place of a task: end after the batch that is being computed."""
BEAT = "beat"
"""In place of a task, in a message from a worker: its `Pulse`."""
BEAT_SECONDS = 5.0
NOTICE_SECONDS = 180.0
"""A worker that has made no progress for so long is reported."""
STOPPING_SECONDS = 30.0
"""A worker that is asked to stop and makes no progress is ended after so long, or three times its longest batch."""
START_SECONDS = 1800.0
"""A worker that has not said anything since it was started is ended after so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What a worker is doing."""

    stage: str
    """`loading sdxl`."""
    idle: float
    """Seconds since it last made progress."""
    limit: float
    """Seconds of silence in this stage after which it is taken for hung."""
    longest: float = 0.0
    """Seconds of its longest batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """What comes of a task whose workers died, or hung, DEATHS times."""

    stage: str
    """What they were doing."""
    reason: str
    """`killed by signal 9`, `silent for 10 min`."""


Say = Callable[[str], None]


class Source(Protocol):
    """Who gets what next."""

    def take(self, worker: str) -> Any | None: ...
    def back(self, task: Any) -> None: ...


class Performer(Protocol):
    """A worker inside its process."""

    def perform(self, task: Any) -> Iterator[None]: ...
    def pulse(self) -> Pulse: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


Emit = Callable[[Any, Any, bool], None]
Start = Callable[[str | None, Emit], Performer]
"""(device, or None for the default; where results go) → a worker. Can be pickled."""
Result = tuple[Any, Any]
"""A task, and something that came of it."""
Stop = Callable[[], bool]


class Engine(Protocol):
    def run(self, start: Start, source: Source, stop: Stop, say: Say) -> Iterator[Result]:
        """What comes of the tasks, until there are none or `stop()`. Raises what a worker raised.

        Parameters
        ----------
        start
            Starts a worker.
        source
            Says who gets what next.
        stop
            Is asked between two batches.
        say
            Is given a line about a worker that is silent, dead or replaced.
        """
        ...


class Here:
    """One worker, in this thread."""

    def run(self, start: Start, source: Source, stop: Stop, say: Say = lambda line: None) -> Iterator[Result]:
        found: queue.SimpleQueue[tuple[Any, Any, bool]] = queue.SimpleQueue()
        worker = start(None, lambda *result: found.put(result))
        ended = threading.Event()
        threading.Thread(target=_report_silence, args=(worker, ended, say), daemon=True).start()
        try:
            while not stop() and (task := source.take("here")) is not None:
                for _ in worker.perform(task):
                    yield from _drained(found)
                    if stop():
                        break
                yield from _drained(found)
            worker.flush()
            yield from _drained(found)
        finally:
            ended.set()
            worker.close()


def _report_silence(worker: Performer, ended: threading.Event, say: Say) -> None:
    """A worker of this very process cannot be replaced; what it hangs in can be said."""
    reported = ""
    while not ended.wait(BEAT_SECONDS):
        pulse = worker.pulse()
        if pulse.idle >= NOTICE_SECONDS and reported != pulse.stage:
            reported = pulse.stage
            say(f"no progress for {_duration(pulse.idle)} ({pulse.stage})")


def _drained(found: queue.SimpleQueue[tuple[Any, Any, bool]]) -> Iterator[Result]:
    while not found.empty():
        task, value, _ = found.get()
        if isinstance(value, BaseException):
            raise value
        yield task, value


# Several workers, wherever they are


@dataclass(slots=True)
class Handle:
    """One worker as its driver sees it."""

    name: str
    line: Any
    """How it is reached: a connection, an actor."""
    tasks: list[Any] = field(default_factory=list)
    """Given to it, and not yet done."""
    stopping: bool = False
    pulse: Pulse = Pulse(stage="starting", idle=0.0, limit=START_SECONDS)
    """The last that was heard."""
    progress: float = field(default_factory=time.monotonic)
    """When it last made progress, by the driver's clock."""
    reported: bool = False
    """Its silence was."""

    def heard(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.moved(time.monotonic() - pulse.idle)

    def moved(self, when: float) -> None:
        """Note progress."""
        if when > self.progress:
            self.progress, self.reported = when, False


LOST = object()
"""In place of a message: the worker is gone."""


class WorkerPool(Protocol):
    """Workers in other processes."""

    handles: list[Handle]

    def send(self, handle: Handle, task: Any) -> None: ...
    def receive(self, seconds: float) -> list[tuple[Handle, Any]]:
        """(handle, (task, value, last) or LOST) of whatever arrives within that time."""
        ...

    def end(self, handle: Handle) -> None:
        """End a worker that hangs, without waiting for it."""
        ...

    def replace(self, handle: Handle) -> str:
        """Put another worker in a lost one's place, if there can be one. Returns how the lost one ended."""
        ...


def run_pool(
    pool: WorkerPool, source: Source, stop: Stop, alone: Callable[[Any], bool], say: Say = lambda line: None
) -> Iterator[Result]:
    """Hand out and gather until nothing is left.

    Parameters
    ----------
    pool, source, stop, say
        As of `Engine.run`.
    alone
        Says of a task that nothing is given ahead behind it.
    """
    deaths: Counter[Any] = Counter()
    while True:
        if stop():
            for handle in pool.handles:
                if not handle.stopping:
                    handle.stopping = True
                    pool.send(handle, STOP)
        else:
            _hand_out(pool, source, alone)
        if pool.handles and not any(handle.tasks for handle in pool.handles):
            return
        if not pool.handles and stop():
            return
        for handle, message in pool.receive(0.2):
            if message is LOST:
                yield from _lost(pool, source, handle, deaths, say)
                continue
            task, value, last = message
            if isinstance(value, BaseException):
                raise value
            if task == BEAT:
                handle.heard(value)
                continue
            handle.moved(time.monotonic())
            if last and task == STOP:
                handle.tasks.clear()
                continue
            if last:
                handle.tasks.remove(task)
            yield task, value
        for handle in [h for h in pool.handles if h.tasks]:
            if why := _hung(handle, say):
                pool.end(handle)
                yield from _lost(pool, source, handle, deaths, say, why)


def _hand_out(pool: WorkerPool, source: Source, alone: Callable[[Any], bool]) -> None:
    """One task for everybody before a second for anybody."""
    for depth in range(1, AHEAD + 1):
        for handle in list(pool.handles):
            if len(handle.tasks) < depth and not any(alone(task) for task in handle.tasks):
                task = source.take(handle.name)
                if task is not None:
                    if not handle.tasks:  # until now it had nothing to progress with
                        handle.moved(time.monotonic())
                    handle.tasks.append(task)
                    pool.send(handle, task)


def _hung(handle: Handle, say: Say) -> str:
    """How long a worker has been silent, if that is longer than its stage may take; else nothing. A silence that is
    only long is reported once."""
    silent, pulse = time.monotonic() - handle.progress, handle.pulse
    if silent >= NOTICE_SECONDS and not handle.reported:
        handle.reported = True
        say(f"{handle.name} has been silent for {_duration(silent)} ({pulse.stage})")
    limit = pulse.limit
    if handle.stopping:
        limit = min(limit, max(STOPPING_SECONDS, 3 * pulse.longest))
    return f"silent for {_duration(silent)}" if silent > limit else ""


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _lost(
    pool: WorkerPool, source: Source, handle: Handle, deaths: Counter[Any], say: Say, why: str = ""
) -> Iterator[Result]:
    """Give a lost worker's tasks to others; a task that was lost DEATHS times is abandoned."""
    pool.handles.remove(handle)
    if handle.stopping:
        return
    how = pool.replace(handle)
    why = why or how
    say(f"{handle.name} was lost ({why}, {handle.pulse.stage}): its work goes to another")
    tasks = list(handle.tasks)
    if tasks:
        deaths[tasks[0]] += 1
        if deaths[tasks[0]] >= DEATHS:
            task = tasks.pop(0)
            yield task, Abandoned(stage=handle.pulse.stage, reason=why)
    for task in tasks:
        source.back(task)
