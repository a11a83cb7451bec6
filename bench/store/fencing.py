"""The protocol by which processes on several machines share a study in an object store without losing a row.

Nothing here reads or writes: each function is a generator that yields operations and receives their results, so
that `bench.store.object_store` runs them against a store and a test runs them in every order of interleaving.

A store offers four operations that are atomic one by one: create (fails where the object exists, `If-None-Match: *`
in S3), read, list, delete; and an overwrite, used only for the heartbeat. What follows from them:

1. A lease has a generation number. Generation g + 1 is taken by creating `lease/<g+1>.json`, so exactly one process
   holds each number. A holder is superseded when the next number exists, and learns of it before each append.
2. An object of rows is created under a name that holds its writer's generation and is never overwritten. An append
   that was stalled while another process took over adds an object of true rows; it replaces nothing.
3. An object of rows is deleted only by a process that has read it and created another that holds its rows.
4. An image is created, never overwritten. A process that finds one in its place describes that one in its row, so a
   row and its image agree whoever wrote them.

Clocks decide only when a lease may be taken over, never whether a row survives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

JOINED_BYTES = 64 * 2**20
"""Parts are joined into objects of at most this many bytes; a part that is larger stays as it is."""


@dataclass(frozen=True, slots=True)
class Create:
    """Write an object that does not exist. Result: False where it does."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """Result: the object's bytes, or None."""

    name: str


@dataclass(frozen=True, slots=True)
class List:
    """Result: name → size in bytes of every object whose name begins so."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an object; nothing happens where there is none."""

    name: str


@dataclass(frozen=True, slots=True)
class Write:
    """Overwrite an object that one process alone writes."""

    name: str
    data: bytes


Operation = Create | Read | List | Delete | Write
Steps = Generator[Operation, Any, Any]


class HeldError(Exception):
    """Another process holds the lease; `holder` is what it wrote about itself."""

    def __init__(self, holder: Mapping[str, Any]) -> None:
        super().__init__(str(holder))
        self.holder = holder


class SupersededError(HeldError):
    """Another process has taken the lease over from this one."""


def lease(generation: int, kind: str = "json") -> str:
    """Name of a lease object: `json` (who took it), `beat` (its last sign of life) or `end` (given back)."""
    return f"lease/{generation:08d}.{kind}"


def part(kind: str, generation: int, number: int) -> str:
    """Name of an object of rows; names sort in the order of writing."""
    return f"{kind}/{generation:08d}-{number:08d}.jsonl"


def take(ours: bytes, expired: Callable[[Mapping[str, Any]], bool]) -> Steps:
    """Take the lease; returns its generation.

    Parameters
    ----------
    ours
        What is written about this process; different for each attempt.
    expired
        Says of the last holder's claim or heartbeat whether it may be taken over from.

    Raises
    ------
    HeldError
        Another process holds the lease, or took it at the same moment.
    """
    names = yield List("lease/")
    newest = max((int(name[6:14]) for name in names), default=0)
    if newest and lease(newest, "end") not in names:
        claim = (yield Read(lease(newest, "beat"))) or (yield Read(lease(newest)))
        holder = json.loads(claim or b"{}")
        if not expired(holder):
            raise HeldError(holder)
    if not (yield Create(lease(newest + 1), ours)):
        raise HeldError(json.loads((yield Read(lease(newest + 1))) or b"{}"))
    return newest + 1


def check(generation: int) -> Steps:
    """Raises SupersededError where another process has taken over."""
    claim = yield Read(lease(generation + 1))
    if claim is not None:
        raise SupersededError(json.loads(claim))


def append(kind: str, generation: int, number: int, data: bytes) -> Steps:
    """Create one object of rows. `number` is used once by this process. Raises SupersededError."""
    yield from check(generation)
    yield Create(part(kind, generation, number), data)


def join(kind: str, generation: int, numbers: Callable[[], int]) -> Steps:
    """Put the rows of many small parts into few objects. A process killed in between leaves rows twice, which are
    read as once. `numbers()` gives the number of the next part. Raises SupersededError.
    """
    yield from check(generation)
    sizes = yield List(f"{kind}/")
    for names in _groups(sizes):
        read: dict[str, bytes] = {}
        for name in names:
            data = yield Read(name)
            if data is not None:
                read[name] = data
        if len(read) < 2:
            continue
        yield Create(joined(kind, max(read), generation, numbers()), b"".join(read.values()))
        for name in read:
            yield Delete(name)


def joined(kind: str, last: str, generation: int, number: int) -> str:
    """Name of a joined object: it sorts where the last of its sources did, for of two rows the later counts."""
    place = last.removeprefix(f"{kind}/").removesuffix(".jsonl").partition("+")[0]
    return f"{kind}/{place}+{generation:08d}-{number:08d}.jsonl"


def _groups(sizes: Mapping[str, int]) -> list[list[str]]:
    """Neighbours in the order of names, in groups of at most JOINED_BYTES; a large part ends a group."""
    groups: list[list[str]] = [[]]
    total = 0
    for name in sorted(sizes):
        if total + sizes[name] > JOINED_BYTES:
            groups.append([])
            total = 0
        groups[-1].append(name)
        total += sizes[name]
    return [group for group in groups if len(group) > 1]


def keep_image(name: str, data: bytes) -> Steps:
    """Store an image; returns the bytes that stand under the name from now on, ours or those that were there."""
    while not (yield Create(name, data)):
        there = yield Read(name)
        if there is not None:
            return there
    return data


def release(generation: int) -> Steps:
    """Give the lease back, and remove signs of life of older ones; their claims stay, for `check` reads them."""
    yield Create(lease(generation, "end"), b"{}")
    names = yield List("lease/")
    for name in sorted(names):
        if int(name[6:14]) < generation and name.endswith(".beat"):
            yield Delete(name)
