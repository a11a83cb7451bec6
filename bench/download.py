"""One file from an address onto the disk, whole or an error that says what to do."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from bench.errors import InputError

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, bytes so far, and bytes in all (None: the server does not say)."""

TIMEOUT = 60.0
"""Seconds without a byte."""


def download(url: str, target: Path, cure: str, progress: Progress | None = None) -> None:
    """Raises InputError with the cure: the address cannot be reached, refuses, or breaks off."""
    request = urllib.request.Request(url, headers={"User-Agent": "turbo-preference-bench"})
    got = 0
    with target.open("wb") as file:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                length = answer.headers.get("Content-Length")
                total = int(length) if length else None
                while chunk := answer.read(1 << 18):
                    file.write(chunk)
                    got += len(chunk)
                    if progress:
                        progress(target.name, got, total)
        except urllib.error.HTTPError as error:
            error.close()
            raise InputError(f"{url} answered {error.code} {error.reason}; {cure}") from None
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise InputError(f"cannot reach {url}: {getattr(error, 'reason', error)}; {cure}") from None
    if total is not None and got != total:
        raise InputError(f"{url}: {got:,} of {total:,} bytes came; try again")
