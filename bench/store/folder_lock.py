"""One process's hold on a folder of a disk: the file system's lock and, where that does not reach, a sign of life.

On one machine `flock` decides. A network file system that is mounted without locks gives it to a process of every
machine; so `.lock` also names its holder and is renewed. A holder on another machine that lives is respected, and one
whose hold was taken over, or whose folder was renamed, stops before its next row.
"""

from __future__ import annotations

import errno
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.store.file_lock import lock

BEAT_SECONDS = 15.0
FRESH_SECONDS = 60.0
"""A holder on another machine that gave no sign of life for so long is gone."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What this process has of a folder."""

    token: str
    """In the file, unique to this hold."""
    inode: tuple[int, int]
    """Device and number of the lock's file."""


_held: dict[Path, Hold] = {}
"""By folder: what this process holds."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for one writing process; it is created if need be. Raises InputError where another one has it."""
    _create(folder)
    path, hold = folder / ".lock", None
    with path.open("a+") as file:
        if not lock(file):
            raise InputError(
                f"{folder} is being written by another process ({_holder(file)}): wait for it or stop it"
            )
        _refuse_other_machine(folder, file)
        status = os.fstat(file.fileno())
        hold = Hold(token=uuid.uuid4().hex, inode=(status.st_dev, status.st_ino))
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {platform.node()} {hold.token}")
        file.flush()
        _held[folder] = hold
        ended = threading.Event()
        renewal = threading.Thread(target=_renew, args=(file.fileno(), ended), daemon=True)
        renewal.start()
        try:
            yield
        finally:
            ended.set()
            renewal.join(timeout=1.0)
            del _held[folder]
            if hold.token in (_content(path) or ""):
                with suppress(OSError):
                    file.truncate(0)


def check(folder: Path) -> None:
    """Raises InputError where this process held the folder and does no longer: its rows would be lost, or another
    process's."""
    hold = _held.get(folder)
    if hold is None:
        return
    path = folder / ".lock"
    try:
        status = path.stat()
    except FileNotFoundError:
        status = None
    if status is None or (status.st_dev, status.st_ino) != hold.inode:
        raise moved(folder)
    content = _content(path)
    if content is not None and hold.token not in content:
        raise InputError(
            f"{folder} was taken over by another process ({_named(content)}): this one stops; its rows are kept"
        )


def moved(folder: Path) -> InputError:
    return InputError(
        f"{folder} was renamed, replaced or removed while this process wrote to it: this one stops; what it wrote is "
        f"where the folder is now, and the same command goes on there"
    )


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").open("a").close()
    except FileExistsError:
        raise InputError(f"{folder} is a file, not a folder: choose another place with --results") from None
    except NotADirectoryError as error:
        raise InputError(
            f"cannot write {folder}: {error.filename} is below a file: choose another --results"
        ) from None
    except PermissionError:
        raise InputError(
            f"cannot write {folder}: no permission (it is {_owner(folder)}'s, this process {_name(os.geteuid())}'s): "
            f"choose another place with --results, or let its owner `chmod -R g+rwX` it for your group"
        ) from None
    except OSError as error:
        why = "the disk is read-only" if error.errno == errno.EROFS else str(error.strerror).lower()
        raise InputError(f"cannot write {folder}: {why}: choose another place with --results") from None


def _owner(folder: Path) -> str:
    """Of the folder, or of the lowest one above it that this process may look at."""
    for place in (folder, *folder.absolute().parents):
        with suppress(OSError):
            return _name(place.stat().st_uid)
    return "another user"


def _name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _refuse_other_machine(folder: Path, file: Any) -> None:
    """Raises InputError where a process of another machine holds the folder and `flock` did not say so."""
    holder = _holder(file)
    if " on " not in holder or holder.endswith(f" on {platform.node()}"):
        return
    age = _clock_of(folder) - os.fstat(file.fileno()).st_mtime
    if age < FRESH_SECONDS:
        raise InputError(
            f"{folder} is being written from another machine ({holder}, seen {max(0, age):.0f} s ago): wait for it or "
            f"stop it; if it is dead, its hold ends {FRESH_SECONDS:.0f} s after its last sign of life"
        )


def _clock_of(folder: Path) -> float:
    """The time as the folder's file system has it, which stamps the holder's signs of life too."""
    probe = folder / f".lock-{uuid.uuid4().hex}.tmp"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _renew(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        with suppress(OSError):
            os.utime(descriptor)


def _holder(file: Any) -> str:
    """`pid 12 on node`."""
    file.seek(0)
    return _named(file.read())


def _named(content: str) -> str:
    return " ".join(content.split()[:4]) or "unknown"


def _content(path: Path) -> str | None:
    """None where it cannot be read now, which says nothing of who holds the folder."""
    try:
        return path.read_text()
    except OSError:
        return None
