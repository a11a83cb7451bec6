"""An exclusive lock on an open file that ends with its process: flock on Linux and macOS, msvcrt on Windows."""

from __future__ import annotations

import errno
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_FAR = 1 << 30
"""Byte that Windows locks: beyond the text, which others may then still read."""


def lock(file: IO[str]) -> bool:
    """Lock the file until it is closed; False: another process holds it."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            _hold_on_windows(file)
    except OSError as error:
        if error.errno not in _HELD:
            raise
        return False
    return True


def _hold_on_windows(file: IO[str]) -> None:
    import msvcrt
    import os

    descriptor = file.fileno()
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, _FAR, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)
