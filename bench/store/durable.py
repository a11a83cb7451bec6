"""Files that are whole or not there: temporary file, fsync, rename; appends of whole rows; outages waited for."""

from __future__ import annotations

import errno
import functools
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.records import to_json


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Atomic and durable: temporary file in the same folder, fsync, rename."""
    _replace(path, lambda file: file.write(data))


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Replace a file of rows, atomically; they are written as they come, so they need not fit into memory."""
    if not isinstance(rows, Sequence):  # it comes once, and a write that fails may be tried again
        _replace(path, lambda file: file.writelines((to_json(r) + "\n").encode() for r in rows), tries=1)
    else:
        _replace(path, lambda file: file.writelines((to_json(r) + "\n").encode() for r in rows))


def _replace(path: Path, fill: Callable[[Any], Any], tries: int | None = None) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a device or a pipe: a rename would put a file in its place
            with path.open("wb") as file:
                fill(file)
            return
        try:
            with temporary.open("wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    durably(path, write, tries)


log = logging.getLogger("bench")

SLOW_SECONDS = 60.0
"""A write that has not returned after so long is reported, and again after five times as long."""
WATCH_SECONDS = 1.0
"""Between two looks at the writes that are under way."""
OUTAGE_SECONDS = 300.0
"""A file system or store that does not answer is tried again for so long."""
STALE = {errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH}
"""What a network file system says while its server is away. A failed fsync (EIO) is not among it: the pages are lost,
and a second fsync would report success for data that never reached the disk."""


def durably(path: Path, write: Callable[[], None], tries: int | None = None) -> None:
    """Run a write that starts from nothing, again while the file system's server is away."""
    last = OSError()
    for pause in backoff(OUTAGE_SECONDS):
        tries = None if tries is None else tries - 1
        try:
            with _disk_errors(path), _watched(path):
                return write()
        except OSError as error:
            if error.errno not in STALE or tries == 0:
                raise
            last = error
        time.sleep(pause)
    raise InputError(
        f"cannot write {path}: {last.strerror}, for {OUTAGE_SECONDS:.0f} s; run the same command again when the file "
        f"system is back; nothing written so far is lost"
    ) from last


@contextmanager
def _watched(path: Path) -> Iterator[None]:
    """Log a line while the file system does not come back from a write: nothing else can be done about it."""
    _start_watch()
    thread = threading.get_ident()
    _writing[thread] = (path, time.monotonic())
    try:
        yield
    finally:
        _writing.pop(thread, None)


_writing: dict[int, tuple[Path, float]] = {}
"""Thread → what it writes, and since when."""


@functools.cache
def _start_watch() -> None:
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    """One thread for all writes: a thread each would cost more than most of them."""
    due: dict[tuple[Path, float], float] = {}
    while True:
        time.sleep(WATCH_SECONDS)
        now, writes = time.monotonic(), set(_writing.copy().values())
        due = {write: due.get(write, SLOW_SECONDS) for write in writes}
        for path, since in writes:
            if now - since >= due[path, since]:
                due[path, since] = now - since + 5 * SLOW_SECONDS
                log.warning(
                    "%s: the file system has not answered for %.0f s; is its server away (`dmesg`, `mount`)? This "
                    "process goes on, or ends after Ctrl-C, when it answers",
                    path,
                    now - since,
                )


def backoff(total: float, first: float = 0.5, most: float = 20.0) -> Iterator[float]:
    """Pauses of doubling length, seconds, that end when `total` seconds have passed."""
    end, pause = time.monotonic() + total, first
    while time.monotonic() < end:
        yield min(pause, max(0.0, end - time.monotonic()))
        pause = min(2 * pause, most)


def append_rows(path: Path, rows: Sequence[Any]) -> None:
    """Append rows durably: a torn last line left by a killed process is cut off first."""
    data = "".join(to_json(row) + "\n" for row in rows).encode()

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            end = _end_of_last_line(file)
            file.truncate(end)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(end)
                raise

    durably(path, write)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cures = {
            errno.ENOSPC: "the disk is full: free some space and run the same command again",
            errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
            errno.EACCES: "no permission to write there: choose another folder with --results",
            errno.ENOENT: "its folder was renamed, replaced or removed while this process wrote to it: run the same "
            "command again where it is now",
            errno.EROFS: "the disk is read-only: choose another folder with --results",
            errno.EIO: "the disk reported an error (see `dmesg`): what was just written is not kept; run the same "
            "command again, on another disk if it comes back",
            errno.EMFILE: "too many open files: raise the limit (`ulimit -n 4096`) and run the same command again",
        }
        if error.errno in cures:
            raise InputError(
                f"cannot write {path}: {cures[error.errno]}; nothing written so far is lost"
            ) from error
        raise


def _end_of_last_line(file: Any) -> int:
    """Offset after the last newline; a row cannot be longer than what is read back block by block."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
