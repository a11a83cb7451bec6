"""One file from an address onto the disk, whole or an error that says what to do; pooch transfers it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from bench.errors import InputError

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, bytes so far, and bytes in all (None: the server does not say)."""

CONNECT = 8.0
"""Seconds until a server has answered at all: where there is no network, packets may vanish without a word."""
TIMEOUT = 60.0
"""Seconds without a byte."""


class _Bar:
    """What pooch calls a progress bar: passes the numbers on."""

    def __init__(self, name: str, progress: Progress | None) -> None:
        self.name = name
        self.progress = progress
        self.done = 0
        self.reported = 0
        self.total: int | None = None

    def update(self, size: int) -> None:
        """pooch counts whole chunks, so the last one may be shorter."""
        done = min(self.done + size, self.total or self.done + size)
        if self.progress and done != self.reported:
            self.progress(self.name, done, self.total or None)
        self.done = self.reported = done

    def reset(self) -> None:
        """pooch sets the bar back before its last update, which adds the whole size."""
        self.done = 0

    def close(self) -> None:
        pass


def download(url: str, target: Path, cure: str, progress: Progress | None = None) -> None:
    """Raises InputError with the cure: the address cannot be reached, refuses, or breaks off.

    Parameters
    ----------
    url : http or https.
    target : the file to write; its folder exists.
    cure : what the user can do, for the message.
    progress : called as bytes arrive.
    """
    import pooch
    import requests

    logging.getLogger("pooch").setLevel(logging.WARNING)
    bar = _Bar(target.name, progress)
    transfer = pooch.HTTPDownloader(
        progressbar=bar,  # pyright: ignore[reportArgumentType]
        chunk_size=1 << 18,
        timeout=(CONNECT, TIMEOUT),
        headers={"User-Agent": "turbo-preference-bench"},
    )
    try:
        transfer(url, str(target), None)
    except requests.HTTPError as error:
        answer = error.response
        assert answer is not None
        answer.close()
        raise InputError(f"{url} answered {answer.status_code} {answer.reason}; {cure}") from None
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
        raise InputError(f"{url}: the transfer broke off; try again") from None
    except requests.RequestException as error:
        target.unlink(missing_ok=True)  # opened before the first byte
        raise InputError(f"cannot reach {url}: {_reason(error)}; {cure}") from None


def _reason(error: BaseException) -> str:
    """The innermost cause: requests wraps it twice."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    return str(getattr(error, "reason", None) or error)
