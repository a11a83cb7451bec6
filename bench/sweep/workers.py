"""Where the work runs: in this process, or in several of this machine (a GPU each).

A cluster is in `bench.sweep.ray_cluster`.

An engine knows nothing of images. It asks a source for tasks, gives them to workers, and yields what comes of them. A
worker that dies or hangs is replaced and its tasks are given to another. Nobody but the caller writes rows.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import queue
import secrets
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.errors import InputError

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


# Processes of this machine


class Processes:
    """A process a device, each with its own copy of one model at a time."""

    def __init__(
        self, devices: Sequence[str | None], alone: Callable[[Any], bool], joined: Sequence[Any] = ()
    ) -> None:
        """joined: connections of workers that somebody else started (`join`)."""
        self.devices = devices
        self.alone = alone
        self.joined = joined

    def run(self, start: Start, source: Source, stop: Stop, say: Say = lambda line: None) -> Iterator[Result]:
        pool = _ProcessPool(start, self.devices, self.joined)
        try:
            yield from run_pool(pool, source, stop, self.alone, say)
        finally:
            pool.close()


class _ProcessPool:
    """Children of this process, reached through pipes."""

    def __init__(self, start: Start, devices: Sequence[str | None], joined: Sequence[Any]) -> None:
        self.start = start
        self.context = multiprocessing.get_context("spawn")
        self.handles: list[Handle] = []
        self.children: dict[str, Any] = {}
        self.devices: dict[str, str | None] = {}
        self.spawned = 0
        for device in devices:
            self._spawn(device)
        for line in joined:
            self.spawned += 1
            line.send(start)
            self.handles.append(Handle(f"worker {self.spawned}", line))

    def _spawn(self, device: str | None) -> None:
        self.spawned += 1
        name = f"worker {self.spawned}"
        ours, theirs = self.context.Pipe()
        child = self.context.Process(target=serve, args=(theirs, self.start, device), name=name, daemon=True)
        child.start()
        theirs.close()  # so that its end of the pipe closes with it
        self.handles.append(Handle(name, ours))
        self.children[name], self.devices[name] = child, device

    def send(self, handle: Handle, task: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # lost, as `receive` will say
            handle.line.send(task)

    def receive(self, seconds: float) -> list[tuple[Handle, Any]]:
        by_line = {handle.line: handle for handle in self.handles}
        found: list[tuple[Handle, Any]] = []
        for line in multiprocessing.connection.wait(list(by_line), seconds):
            try:
                found.append((by_line[line], line.recv()))  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
            except (EOFError, ConnectionResetError):
                found.append((by_line[line], LOST))
        return found

    def end(self, handle: Handle) -> None:
        child = self.children.get(handle.name)
        if child is not None:
            child.kill()
        handle.line.close()  # a worker that somebody else started ends itself

    def replace(self, handle: Handle) -> str:
        child = self.children.pop(handle.name, None)
        if child is None:
            return "its connection closed"
        child.join(timeout=10)  # one that hangs in the kernel stays, and is not waited for
        self._spawn(self.devices[handle.name])
        code = child.exitcode
        return (
            "it does not end" if code is None else f"killed by signal {-code}" if code < 0 else f"exit {code}"
        )

    def close(self) -> None:
        """Idle children end when their line closes; one that still works is ended, for nobody waits for it."""
        for handle in self.handles:
            handle.line.close()
        for child in self.children.values():
            child.join(timeout=5)
            if child.is_alive():
                child.kill()
                child.join(timeout=10)


# Processes that `accelerate launch` started


def rank() -> tuple[int, int]:
    """This process's number and how many there are, as a launcher says; (0, 1) without one."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def gather() -> list[Any]:
    """In rank 0: a connection to each of the others."""
    _, size = rank()
    host = os.environ.get("MASTER_ADDR", "127.0.0.1")
    key = secrets.token_bytes(32)
    with multiprocessing.connection.Listener((host, 0), authkey=key) as listener:
        _exchange((listener.address, key))
        return [listener.accept() for _ in range(size - 1)]


def join(device: str | None) -> None:
    """In every other rank: work for rank 0 until it has nothing left."""
    address, key = _exchange(None)
    line = multiprocessing.connection.Client(address, authkey=key)
    serve(line, line.recv(), device)


def _exchange(value: Any) -> Any:
    """Rank 0's value, in all ranks."""
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    state = PartialState(cpu=True)  # gloo: nothing of this belongs on a GPU
    found = [value]
    broadcast_object_list(found)
    state.destroy_process_group()
    return found[0]


def serve(line: Any, start: Start, device: str | None) -> None:
    """A worker's whole life: tasks from the line, results into it. When the driver closes the line it ends:
    in order if it is idle, else at once.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stopped, idle, closed = threading.Event(), threading.Event(), threading.Event()
    lock = threading.Lock()

    def listen() -> None:
        try:
            while True:
                task = line.recv()
                if task == STOP:
                    stopped.set()
                tasks.put(task)
        except (EOFError, OSError):
            if not idle.is_set():
                os._exit(0)
            stopped.set()
            closed.set()
            tasks.put(STOP)

    def emit(task: Any, value: Any, last: bool) -> None:
        with lock:
            line.send((task, value, last))

    def next_task() -> Any:
        idle.set()
        task = tasks.get()
        idle.clear()
        return task

    threading.Thread(target=listen, daemon=True).start()

    def beat(worker: Performer) -> None:
        with contextlib.suppress(OSError):
            while not closed.wait(BEAT_SECONDS):
                emit(BEAT, worker.pulse(), False)

    task: Any = None
    try:
        worker = start(device, emit)
        threading.Thread(target=beat, args=(worker,), daemon=True).start()
        while (task := next_task()) != STOP:
            for _ in worker.perform(task):
                if stopped.is_set():
                    break
            if stopped.is_set():
                break
        worker.flush()
        if not closed.is_set():
            emit(STOP, None, True)
        worker.close()
    except BaseException as error:
        if not closed.is_set():
            emit(task, portable(error), True)
    idle.set()
    closed.wait()


def portable(error: BaseException) -> BaseException:
    """The user's errors as they are; a bug with the traceback it had in its process."""
    error = getattr(error, "cause", None) or error  # Ray wraps what a task raised
    if isinstance(error, InputError):
        error.__cause__ = None
        return error
    return RuntimeError("in a worker:\n" + "".join(traceback.format_exception(error)))
