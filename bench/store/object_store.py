"""A study folder in an object store (`s3://…`), through fsspec: what `generate`, `score` and `verify` need of one.

`bench.store.fencing` is the protocol: a lease with a generation number, rows in objects that are never overwritten,
images that are created once. `bench copy` brings the folder to a disk for the stages that read all of it.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bench.store.fencing as fencing
from bench.errors import InputError
from bench.records import Failure, Generation, Prompt, from_dict, to_json
from bench.store.durable import sha256
from bench.store.fencing import Create, Delete, List, Read, Steps, Write
from bench.store.store_access import StoreAccess
from bench.store.study_folder import Key, StudyFolder, name_of, open_folder, standing

PART_ROWS = 1000
PART_SECONDS = 5.0
"""Rows reach the store after that many, or that long: a killed process loses the rows, and its images are generated
again with the same bytes."""
LEASE_SECONDS = 60.0
"""A lease whose holder has given no sign of life for so long may be taken over."""
RELISTS = 20
"""How often a listing is repeated while objects of it disappear into a joined one."""

log = logging.getLogger("bench")


def is_url(place: str | Path) -> bool:
    return re.match(r"^[a-z][a-z0-9+.-]+:/", str(place)) is not None


def url_of(place: str | Path) -> str:
    """`s3://bucket/x`, also from the `s3:/bucket/x` that a path makes of it."""
    return re.sub(r"^([a-z][a-z0-9+.-]+):/+", r"\1://", str(place)).rstrip("/")


def folder_at(results: str | Path, name: str) -> StudyFolder | ObjectFolder:
    """The folder of a study: on a disk, or in an object store where `results` is a URL."""
    return ObjectFolder(f"{url_of(results)}/{name}") if is_url(results) else StudyFolder(Path(results) / name)


def open_anywhere(name: str | Path, results: Path) -> StudyFolder | ObjectFolder:
    """The folder of a study that has run: a path, a URL, a name under `results`, or its file."""
    if not (is_url(name) or is_url(results)):
        return open_folder(name, results)
    where = url_of(name) if is_url(name) else f"{url_of(results)}/{name_of(name)}"
    folder = ObjectFolder(where)
    if folder.read("study.toml") is None:
        raise InputError(f"{folder.where} holds no study: run `bench generate` first")
    return folder


class ObjectFolder:
    """One study in an object store. Can be pickled; connects when it is first used."""

    generations_file = "generations"
    failures_file = "failures"

    def __init__(self, url: str) -> None:
        self.where = url
        self._access = StoreAccess(url)
        self._rows: dict[str, list[Any]] = {}
        self._generation = 0
        """Of the lease that this process holds; 0: none."""
        self._number = 0
        self._flushed = time.monotonic()
        self._superseded: fencing.SupersededError | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectFolder, (self.where,)

    @property
    def path(self) -> str:
        return self.where

    def _follow(self, steps: Steps) -> Any:
        """Run a protocol's steps against the store; its refusals become one line."""
        result = None
        try:
            while True:
                result = self._access.perform(steps.send(result))
        except StopIteration as end:
            return end.value
        except fencing.SupersededError as error:
            self._superseded = error
            raise self._taken_over(error) from None
        except fencing.HeldError as error:
            raise InputError(
                f"{self.where} is being written by another process ({_named(error.holder)}): wait for it or stop it; "
                f"a dead one's hold ends after {LEASE_SECONDS:.0f} s"
            ) from None

    def _taken_over(self, error: fencing.SupersededError) -> InputError:
        return InputError(
            f"{self.where} was taken over by another process ({_named(error.holder)}) while this one was stalled: this "
            f"one stops; nothing it wrote is lost, and the other goes on from it"
        )

    def read(self, name: str) -> bytes | None:
        return self._access.perform(Read(name))

    def write(self, name: str, data: bytes) -> None:
        self._access.perform(Write(name, data))

    def sizes(self, place: str) -> dict[str, int]:
        """Name → bytes of the objects under a place."""
        return self._access.perform(List(place))

    # What a study folder does

    def read_json(self, name: str) -> Any | None:
        data = self.read(name)
        return None if data is None else json.loads(data)

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())

    def create_json(self, name: str, value: Any) -> Any:
        """Write a document that does not exist yet; returns the one that stands under the name from now on."""
        data = (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
        while not self._access.perform(Create(name, data)):
            there = self.read_json(name)
            if there is not None:
                return there
        return value

    def read_rows(self, name: str, kind: type[Any]) -> list[Any]:
        """All rows of an object."""
        lines = (self.read(name) or b"").splitlines()
        return [
            from_dict(kind, json.loads(line), f"{self.where}/{name}:{n}") for n, line in enumerate(lines, 1)
        ]

    def write_rows(self, name: str, rows: Iterable[Any]) -> None:
        """Replace an object of rows."""
        self.write(name, _lines(rows))

    def prompts(self) -> list[Prompt]:
        """The prompts of the study in order."""
        return self.read_rows("prompts.jsonl", Prompt)

    def plan(self) -> dict[str, Any]:
        """Model → what is frozen for it. An object each, created once: of two processes that freeze, one does."""
        plan: dict[str, Any] = self.read_json("plan.json") or {}
        for name in self.sizes("plan/"):
            plan[name.removeprefix("plan/").removesuffix(".json")] = self.read_json(name)
        return plan

    def freeze_model(self, model: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Freeze a model's settings; returns those that stand, which another process may have frozen before."""
        return self.create_json(f"plan/{model}.json", dict(entry))

    def forget_model(self, model: str) -> None:
        self._access.perform(Delete(f"plan/{model}.json"))
        plan: dict[str, Any] = self.read_json("plan.json") or {}
        if plan.pop(model, None) is not None:
            self.write_json("plan.json", plan)

    def settings(self) -> dict[str, Any]:
        """Hash → the settings that rows name by it."""
        names = self.sizes("settings/")
        return {name[9:-5]: self.read_json(name) for name in names}

    def keep_settings(self, key: str, entry: Mapping[str, Any]) -> None:
        self.create_json(f"settings/{key}.json", dict(entry))

    def image(self, contender: str, prompt_id: str, replicate: int) -> str:
        return f"{self.where}/{_image(contender, prompt_id, replicate)}"

    def read_image(self, row: Generation) -> bytes | None:
        return self.read(_image(row.contender, row.prompt_id, row.replicate))

    def write_image(self, contender: str, prompt_id: str, replicate: int, data: bytes) -> bytes:
        """Returns the bytes that stand under that name: the data, or those of the process that was first."""
        return self._follow(fencing.keep_image(_image(contender, prompt_id, replicate), data))

    def remove_image(self, row: Generation) -> None:
        self._access.perform(Delete(_image(row.contender, row.prompt_id, row.replicate)))

    def has(self, study_text: str) -> bool:
        """Whether this process sees the folder of that study."""
        return self.read("study.toml") == study_text.encode()

    def write_study(self, study_text: str, prompts: Sequence[Prompt]) -> None:
        """Write the study file and its prompts, where they differ from what is there."""
        for name, data in (("prompts.jsonl", _lines(prompts)), ("study.toml", study_text.encode())):
            if self.read(name) != data:
                self.write(name, data)

    def intact(self) -> Iterator[tuple[Key, bool]]:
        """Of each row whether an object of its size is there: one listing."""
        sizes = self.sizes("images/")
        for row in self._iterate(self.generations_file, Generation):
            key = (row.contender, row.prompt_id, row.replicate)
            yield key, sizes.get(_image(*key)) == row.bytes

    def remove_unfit(self) -> None:
        """Remove images of another size than their row says, for nothing would overwrite them. The caller holds the
        lease."""
        sizes = self.sizes("images/")
        for key, row in self.generations().items():
            if sizes.get(_image(*key), row.bytes) != row.bytes:
                self.remove_image(row)

    def generations(self) -> dict[Key, Generation]:
        rows = self._iterate(self.generations_file, Generation)
        return {(row.contender, row.prompt_id, row.replicate): row for row in rows}

    def failures(self) -> list[Failure]:
        """Failures that still stand."""
        set_aside = set(self.read_json("set-aside.json") or {})
        return standing(self._iterate(self.failures_file, Failure), self.generations().keys(), set_aside)

    def damaged(self) -> list[tuple[Generation, str]]:
        """Every image that is missing or differs from its row, with what is wrong."""
        return [(row, fault) for row in self.generations().values() if (fault := self.fault(row))]

    def fault(self, row: Generation) -> str:
        data = self.read_image(row)
        if data is None:
            return "missing"
        return "" if sha256(data) == row.sha256 else "damaged"

    def archive(self, replaced: Callable[[Key], bool]) -> tuple[str, int]:
        """Take images out of the study: their rows and images move to `replaced/<number>/`. As
        `StudyFolder.archive`."""
        parts = self._parts(self.generations_file)
        rows = {(r.contender, r.prompt_id, r.replicate): r for r in self._rows_of(parts, Generation)}
        gone = {key: row for key, row in rows.items() if replaced(key)}
        if not gone:
            return "", 0
        number = 1 + max((int(n.split("/")[1]) for n in self.sizes("replaced/")), default=0)
        place = f"replaced/{number:04d}"
        self.write(f"{place}/generations.jsonl", _lines(gone.values()))
        for key, row in gone.items():
            data = self.read_image(row)
            if data is not None:
                self.write(f"{place}/{_image(*key)}", data)
                self.remove_image(row)
        self._append(self.generations_file, _lines(row for key, row in rows.items() if key not in gone))
        for name in parts:
            self._access.perform(Delete(name))
        return f"{self.where}/{place}", len(gone)

    # Rows: objects `<kind>/<generation>-<number>.jsonl`; `<kind>.jsonl` is what version 0.1 left

    def append(self, kind: str, rows: Sequence[Any]) -> None:
        if self._superseded:
            raise self._taken_over(self._superseded)
        self._rows.setdefault(kind, []).extend(rows)
        waiting = sum(map(len, self._rows.values()))
        if waiting >= PART_ROWS or time.monotonic() - self._flushed > PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait, an object a kind."""
        for kind, rows in list(self._rows.items()):
            if rows:
                self._append(kind, _lines(rows))
            del self._rows[kind]
        self._flushed = time.monotonic()

    def _append(self, kind: str, data: bytes) -> None:
        self._follow(fencing.append(kind, self._generation, self._next_number(), data))

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def join(self) -> None:
        """Few large objects of rows for many small ones."""
        self.flush()
        for kind in (self.generations_file, self.failures_file):
            self._follow(fencing.join(kind, self._generation, self._next_number))

    def _parts(self, kind: str) -> list[str]:
        """Names of the objects of rows, in the order of writing."""
        return [f"{kind}.jsonl", *sorted(self.sizes(f"{kind}/"))]

    def _iterate(self, kind: str, row: type[Any]) -> Iterator[Any]:
        for _ in range(RELISTS):
            parts = self._parts(kind)
            contents = {name: self.read(name) for name in parts[1:]}
            if None not in contents.values():
                break  # else a part was joined into another between listing and reading
            time.sleep(0.2)
        yield from self._rows_of(parts, row)

    def _rows_of(self, parts: Sequence[str], row: type[Any]) -> Iterator[Any]:
        for name in parts:
            for number, line in enumerate((self.read(name) or b"").splitlines(), 1):
                yield from_dict(row, json.loads(line), f"{self.where}/{name}:{number}")

    # The lease

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one writing process. Raises InputError where another one has it."""
        self._refuse_old_lock()
        ours = _holder()
        self._generation = self._follow(fencing.take(ours, _is_expired))
        self._number, self._superseded = 0, None
        ended = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(ended,), daemon=True)
        renewal.start()
        try:
            yield
        finally:
            ended.set()
            renewal.join(timeout=1.0)
            if not self._superseded:
                self.join()
                self._follow(fencing.release(self._generation))
            self._generation = 0

    def _renew(self, ended: threading.Event) -> None:
        """Signs of life, and the news that somebody took over, until `ended`."""
        while not ended.wait(LEASE_SECONDS / 4):
            try:
                self._access.perform(Write(fencing.lease(self._generation, "beat"), _holder()))
                self._follow(fencing.check(self._generation))
            except InputError as error:  # the next append fails likewise, and says so
                log.debug("%s", error)

    def _refuse_old_lock(self) -> None:
        """Version 0.1 held a folder by an object `.lock`."""
        holder = json.loads(self.read(".lock") or b"{}")
        if holder and not _is_expired(holder):
            raise InputError(
                f"{self.where} is being written by another process ({_named(holder)}) of an older version"
            )
        if holder:
            self._access.perform(Delete(".lock"))


def _image(contender: str, prompt_id: str, replicate: int) -> str:
    return f"images/{contender}/{prompt_id}-{replicate}.webp"


def _lines(rows: Iterable[Any]) -> bytes:
    return "".join(to_json(row) + "\n" for row in rows).encode()


def _named(holder: Mapping[str, Any]) -> str:
    return f"pid {holder.get('pid')} on {holder.get('node')}"


def _holder() -> bytes:
    holder = {"hold": uuid.uuid4().hex, "pid": os.getpid(), "node": platform.node(), "time": time.time()}
    return json.dumps(holder).encode()


def _is_expired(holder: Mapping[str, Any]) -> bool:
    """No sign of life for LEASE_SECONDS, or a process of this machine that is no more. A clock that jumps makes this
    wrong, and then the holder is superseded and stops; no row depends on it."""
    return time.time() - holder.get("time", 0.0) >= LEASE_SECONDS or _is_dead(holder)


def _is_dead(holder: Mapping[str, Any]) -> bool:
    """A process of this machine that is no more."""
    if holder.get("node") != platform.node():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
