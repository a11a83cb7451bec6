"""Workers that are processes of this machine, or ranks that a launcher started; reached through pipes."""

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
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.errors import InputError
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
            emit(BEAT, worker.pulse(), False)  # at once: from now on the bounds of its stage hold
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
