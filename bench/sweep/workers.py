"""Where the work runs: in this process, or in several of this machine (a GPU each).

A cluster is in `bench.sweep.ray_cluster`.

An engine knows nothing of pictures. It asks a source for tasks, gives them to workers, and yields what comes
of them; a worker that is lost gives its tasks back. Nobody but the caller writes rows.
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
"""In place of a task: end after the batch that is being made."""


class Source(Protocol):
    """Who gets what next."""

    def take(self, worker: str) -> Any | None: ...
    def back(self, task: Any) -> None: ...


class Performer(Protocol):
    """A worker inside its process."""

    def perform(self, task: Any) -> Iterator[None]: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


Emit = Callable[[Any, Any, bool], None]
Start = Callable[[str | None, Emit], Performer]
"""(device, or None for the default; where results go) → a worker. Can be pickled."""
Result = tuple[Any, Any]
"""A task, and something that came of it."""
Stop = Callable[[], bool]


class Engine(Protocol):
    def run(self, start: Start, source: Source, stop: Stop) -> Iterator[Result]:
        """What comes of the tasks, until there are none or `stop()`. Raises what a worker raised."""
        ...


class Here:
    """One worker, in this thread."""

    def run(self, start: Start, source: Source, stop: Stop) -> Iterator[Result]:
        found: queue.SimpleQueue[tuple[Any, Any, bool]] = queue.SimpleQueue()
        worker = start(None, lambda *result: found.put(result))
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
            worker.close()


def _drained(found: queue.SimpleQueue[tuple[Any, Any, bool]]) -> Iterator[Result]:
    while not found.empty():
        task, value, _ = found.get()
        if isinstance(value, BaseException):
            raise value
        yield task, value


# Several workers, wherever they are


@dataclass(slots=True)
class Member:
    """One worker as its driver sees it."""

    name: str
    line: Any
    """How it is reached: a connection, an actor."""
    tasks: list[Any] = field(default_factory=list)
    """Given to it, and not yet done."""
    told_to_stop: bool = False


LOST = object()
"""In place of a message: the worker is gone."""


class Crew(Protocol):
    """Workers in other processes."""

    members: list[Member]

    def send(self, member: Member, task: Any) -> None: ...
    def receive(self, seconds: float) -> list[tuple[Member, Any]]:
        """(member, (task, value, last) or LOST) of whatever arrives within that time."""
        ...

    def replace(self, member: Member) -> None:
        """Put another worker in a lost one's place, if there can be one."""
        ...


def lead(crew: Crew, source: Source, stop: Stop, alone: Callable[[Any], bool]) -> Iterator[Result]:
    """Hand out and gather until nothing is left. `alone(task)`: nothing is given ahead behind such a task."""
    deaths: Counter[Any] = Counter()
    while True:
        if stop():
            for member in crew.members:
                if not member.told_to_stop:
                    member.told_to_stop = True
                    crew.send(member, STOP)
        else:
            _hand_out(crew, source, alone)
        if crew.members and not any(member.tasks for member in crew.members):
            return
        if not crew.members and stop():
            return
        for member, message in crew.receive(0.2):
            if message is LOST:
                _lose(crew, source, member, deaths)
                continue
            task, value, last = message
            if isinstance(value, BaseException):
                raise value
            if last and task == STOP:
                member.tasks.clear()
                continue
            if last:
                member.tasks.remove(task)
            yield task, value


def _hand_out(crew: Crew, source: Source, alone: Callable[[Any], bool]) -> None:
    """One task for everybody before a second for anybody."""
    for depth in range(1, AHEAD + 1):
        for member in list(crew.members):
            if len(member.tasks) < depth and not any(alone(task) for task in member.tasks):
                task = source.take(member.name)
                if task is not None:
                    member.tasks.append(task)
                    crew.send(member, task)


def _lose(crew: Crew, source: Source, member: Member, deaths: Counter[Any]) -> None:
    crew.members.remove(member)
    if member.told_to_stop:
        return
    if member.tasks:
        deaths[member.tasks[0]] += 1
        if deaths[member.tasks[0]] >= DEATHS:
            raise InputError(
                f"{DEATHS} workers died over the same piece of work ({_told(member.tasks[0])}): the machine's memory "
                f"may be too small for as many; run again with fewer (--processes N)"
            )
    for task in member.tasks:
        source.back(task)
    crew.replace(member)


def _told(task: Any) -> str:
    return f"model '{task.model}'" + (f", chunk {task.chunk}" if hasattr(task, "chunk") else "")


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

    def run(self, start: Start, source: Source, stop: Stop) -> Iterator[Result]:
        crew = _Family(start, self.devices, self.joined)
        try:
            yield from lead(crew, source, stop, self.alone)
        finally:
            crew.close()


class _Family:
    """Children of this process, reached through pipes."""

    def __init__(self, start: Start, devices: Sequence[str | None], joined: Sequence[Any]) -> None:
        self.start = start
        self.context = multiprocessing.get_context("spawn")
        self.members: list[Member] = []
        self.children: dict[str, Any] = {}
        self.devices: dict[str, str | None] = {}
        self.born = 0
        for device in devices:
            self._bear(device)
        for line in joined:
            self.born += 1
            line.send(start)
            self.members.append(Member(f"worker {self.born}", line))

    def _bear(self, device: str | None) -> None:
        self.born += 1
        name = f"worker {self.born}"
        ours, theirs = self.context.Pipe()
        child = self.context.Process(target=serve, args=(theirs, self.start, device), name=name, daemon=True)
        child.start()
        theirs.close()  # so that its end of the pipe closes with it
        self.members.append(Member(name, ours))
        self.children[name], self.devices[name] = child, device

    def send(self, member: Member, task: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # lost, as `receive` will say
            member.line.send(task)

    def receive(self, seconds: float) -> list[tuple[Member, Any]]:
        by_line = {member.line: member for member in self.members}
        found: list[tuple[Member, Any]] = []
        for line in multiprocessing.connection.wait(list(by_line), seconds):
            try:
                found.append((by_line[line], line.recv()))  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
            except (EOFError, ConnectionResetError):
                found.append((by_line[line], LOST))
        return found

    def replace(self, member: Member) -> None:
        child = self.children.pop(member.name, None)
        if child is not None:
            child.join()
            self._bear(self.devices[member.name])

    def close(self) -> None:
        """Idle children end when their line closes; one that still works is ended, for nobody waits for it."""
        for member in self.members:
            member.line.close()
        for child in self.children.values():
            child.join(timeout=5)
            if child.is_alive():
                child.kill()
                child.join()


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears Ctrl-C and says what to do
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
    task: Any = None
    try:
        worker = start(device, emit)
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
