"""Operations on an object store through fsspec, each repeated while the store does not answer."""

from __future__ import annotations

import errno
import logging
import time
from typing import Any

from bench.errors import InputError
from bench.store.durable import OUTAGE_SECONDS, backoff
from bench.store.fencing import Create, Delete, List, Operation, Read, Write

log = logging.getLogger("bench")


class StoreAccess:
    """The objects under one URL. Connects when it is first used."""

    def __init__(self, url: str) -> None:
        self.where = url

    def _store(self) -> tuple[Any, str]:
        """The file system and the folder's path in it."""
        import fsspec

        try:
            return fsspec.core.url_to_fs(self.where, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise InputError(f"{self.where}: {error} (pip install 'turbo-preference-bench[s3]')") from None

    def perform(self, operation: Operation) -> Any:
        """One operation. A store that does not answer is tried again for OUTAGE_SECONDS; then one line."""
        began, last = time.monotonic(), Exception()
        for number, pause in enumerate(backoff(OUTAGE_SECONDS)):
            try:
                return self._once(operation, again=number > 0)
            except Exception as error:
                last = error
                if not is_outage(error):
                    raise self._refusal(error) from error
            if number == 0:
                log.warning("%s does not answer (%s): trying again", self.where, _line(last))
            time.sleep(pause)
        raise InputError(
            f"{self.where} has not answered for {time.monotonic() - began:.0f} s ({_line(last)}): run the same command "
            f"again when it does; nothing written so far is lost"
        ) from last

    def _once(self, operation: Operation, again: bool) -> Any:
        store, root = self._store()
        match operation:
            case Create(name, data):
                try:
                    store.pipe_file(f"{root}/{name}", data, mode="create")
                except (FileExistsError, OSError) as error:
                    if not _is_there(error):
                        raise
                    # An attempt before this one may have succeeded without an answer.
                    return again and store.cat_file(f"{root}/{name}") == data
                return True
            case Read(name):
                try:
                    return store.cat_file(f"{root}/{name}")
                except FileNotFoundError:
                    return None
            case List(prefix):
                found = store.find(f"{root}/{prefix}", detail=True)
                return {path.removeprefix(f"{root}/"): entry["size"] for path, entry in found.items()}
            case Delete(name):
                try:
                    return store.rm_file(f"{root}/{name}")
                except FileNotFoundError:
                    return None
            case Write(name, data):
                return store.pipe_file(f"{root}/{name}", data)

    def _refusal(self, error: Exception) -> Exception:
        """The store's refusals as the user's errors; anything else as it is."""
        if isinstance(error, InputError):
            return error
        if isinstance(error, FileNotFoundError):
            return InputError(f"{self.where}: no such bucket or object ({_line(error)})")
        if isinstance(error, PermissionError) or type(error).__name__ == "NoCredentialsError":
            return InputError(f"cannot use {self.where}: {_line(error)}; nothing written so far is lost")
        return error


def _is_there(error: OSError) -> bool:
    text = str(error)
    return isinstance(error, FileExistsError) or "PreconditionFailed" in text or "412" in text


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


OUTAGES = {"aiohttp", "botocore", "aiobotocore", "urllib3", "httpx", "requests", "gcsfs", "google"}
"""Packages whose own errors mean that a request got no answer, save those that name a mistake."""
MISTAKES = {"NoCredentialsError", "ParamValidationError", "PartialCredentialsError", "NoRegionError"}
BUSY = {
    errno.EBUSY,
    errno.EAGAIN,
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
}


def is_outage(error: BaseException) -> bool:
    """Whether a store's error means that it is away or overloaded, so that the same request may succeed later."""
    kinds = type(error).__mro__
    if {kind.__name__ for kind in kinds} & MISTAKES or isinstance(
        error, InputError | FileNotFoundError | PermissionError | FileExistsError | IsADirectoryError
    ):
        return False
    if (
        isinstance(error, ConnectionError | TimeoutError)
        or {k.__module__.partition(".")[0] for k in kinds} & OUTAGES
    ):
        return True
    return isinstance(error, OSError) and error.errno in BUSY
