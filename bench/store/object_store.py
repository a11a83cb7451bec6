"""A study folder in an object store (`s3://…`), through fsspec: what `generate` and `verify` need of one.

An object is whole or not there. Nothing can be appended to, so rows are kept in numbered parts while a
process writes and joined at its end; the lock is an object that can only be created, renewed while its holder
lives. `bench copy` brings the folder to a disk for the stages that read it: score, report, arena.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.records import Failure, Generation, Prompt, from_dict, to_json
from bench.store.study_folder import Key, StudyFolder, name_of, open_folder, sha256

PART_ROWS = 1000
PART_SECONDS = 5.0
"""Rows reach the store after that many, or that long: a killed process loses the rows, and its images are
made again with the same bytes."""
LEASE = 60.0
"""Seconds after which a lock that nobody renewed may be taken."""


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
        self._rows: dict[str, list[Any]] = {}
        self._next = 0
        self._flushed = time.monotonic()

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectFolder, (self.where,)

    @property
    def path(self) -> str:
        return self.where

    # Objects

    def _store(self) -> tuple[Any, str]:
        """The file system and the folder's path in it."""
        import fsspec

        try:
            return fsspec.core.url_to_fs(self.where, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise InputError(f"{self.where}: {error} (pip install 'turbo-preference-bench[s3]')") from None

    @contextmanager
    def _told(self) -> Iterator[tuple[Any, str]]:
        """The store's refusals as the user's errors."""
        try:
            yield self._store()
        except FileNotFoundError as error:
            raise InputError(f"{self.where}: no such bucket or object ({error})") from error
        except (PermissionError, ConnectionError, TimeoutError) as error:
            raise InputError(f"cannot use {self.where}: {error}; nothing written so far is lost") from error

    def read(self, name: str) -> bytes | None:
        with self._told() as (store, root):
            try:
                return store.cat_file(f"{root}/{name}")
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        with self._told() as (store, root):
            store.pipe_file(f"{root}/{name}", data)

    def sizes(self, place: str) -> dict[str, int]:
        """Name → bytes of the objects under a place."""
        with self._told() as (store, root):
            found = store.find(f"{root}/{place}", detail=True)
            return {path.removeprefix(f"{root}/"): entry["size"] for path, entry in found.items()}

    # What a study folder does

    def read_json(self, name: str) -> Any | None:
        data = self.read(name)
        return None if data is None else json.loads(data)

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())

    def image(self, contender: str, prompt_id: str, replicate: int) -> str:
        return f"{self.where}/images/{contender}/{prompt_id}-{replicate}.webp"

    def write_image(self, contender: str, prompt_id: str, replicate: int, data: bytes) -> None:
        self.write(f"images/{contender}/{prompt_id}-{replicate}.webp", data)

    def remove_image(self, row: Generation) -> None:
        with self._told() as (store, root):
            store.rm_file(f"{root}/images/{row.contender}/{row.prompt_id}-{row.replicate}.webp")

    def has(self, study_text: str) -> bool:
        """Whether this process sees the folder of that study."""
        return self.read("study.toml") == study_text.encode()

    def freeze(self, study_text: str, prompts: Sequence[Prompt]) -> None:
        rows = "".join(to_json(prompt) + "\n" for prompt in prompts)
        for name, text in (("prompts.jsonl", rows), ("study.toml", study_text)):
            there = self.read(name)
            if there is None:
                self.write(name, text.encode())
            elif there != text.encode():
                raise InputError(
                    f"{self.where} was made by another study ({name} differs): give the study a new name"
                )

    def intact(self) -> Iterator[tuple[Key, bool]]:
        """Of each row whether an object of its size is there: one listing."""
        sizes = self.sizes("images")
        for row in self._iterate(self.generations_file, Generation):
            name = f"images/{row.contender}/{row.prompt_id}-{row.replicate}.webp"
            yield (row.contender, row.prompt_id, row.replicate), sizes.get(name) == row.bytes

    def generations(self) -> dict[Key, Generation]:
        rows = self._iterate(self.generations_file, Generation)
        return {(row.contender, row.prompt_id, row.replicate): row for row in rows}

    def failures(self) -> list[Failure]:
        """Failures that still stand."""
        made = self.generations()
        rows = self._iterate(self.failures_file, Failure)
        newest = {(row.contender, row.prompt_id, row.replicate): row for row in rows}
        return [row for key, row in newest.items() if key not in made]

    def damaged(self) -> list[tuple[Generation, str]]:
        """Every image that is missing or differs from its row, with what is wrong."""
        return [(row, fault) for row in self.generations().values() if (fault := self.fault(row))]

    def fault(self, row: Generation) -> str:
        data = self.read(f"images/{row.contender}/{row.prompt_id}-{row.replicate}.webp")
        if data is None:
            return "missing"
        return "" if sha256(data) == row.sha256 else "damaged"

    # Rows: `<kind>.jsonl`, and parts beside it while a process writes

    def append(self, kind: str, rows: Sequence[Any]) -> None:
        self._rows.setdefault(kind, []).extend(rows)
        waiting = sum(map(len, self._rows.values()))
        if waiting >= PART_ROWS or time.monotonic() - self._flushed > PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as one part."""
        for kind, rows in self._rows.items():
            if rows:
                self.write(
                    f"{kind}/{self._next:08d}.jsonl", "".join(to_json(r) + "\n" for r in rows).encode()
                )
                self._next += 1
        self._rows.clear()
        self._flushed = time.monotonic()

    def join(self) -> None:
        """Parts → one object. A process killed in between leaves rows twice, which read as once."""
        self.flush()
        for kind in (self.generations_file, self.failures_file):
            parts = sorted(self.sizes(kind))
            if parts:
                names = [f"{kind}.jsonl", *parts]
                self.write(f"{kind}.jsonl", b"".join(self.read(name) or b"" for name in names))
                with self._told() as (store, root):
                    store.rm([f"{root}/{part}" for part in parts])

    def _iterate(self, kind: str, row: type[Any]) -> Iterator[Any]:
        for name in (f"{kind}.jsonl", *sorted(self.sizes(kind))):
            for number, line in enumerate((self.read(name) or b"").splitlines(), 1):
                where = f"{self.where}/{name}:{number}"
                yield from_dict(row, json.loads(line), where)

    # The lock

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one writing process. Raises InputError where another one has it."""
        ours = uuid.uuid4().hex
        self._take(ours)
        done = threading.Event()

        def renew() -> None:
            while not done.wait(LEASE / 4):
                self.write(".lock", _holder(ours))

        renewal = threading.Thread(target=renew, daemon=True)
        renewal.start()
        try:
            self._next = max((int(p[-14:-6]) for p in self._parts()), default=-1) + 1
            yield
        finally:
            done.set()
            renewal.join()
            self.join()
            with self._told() as (store, root):
                store.rm_file(f"{root}/.lock")

    def _parts(self) -> list[str]:
        return [*self.sizes(self.generations_file), *self.sizes(self.failures_file)]

    def _take(self, ours: str) -> None:
        with self._told() as (store, root):
            try:
                store.pipe_file(f"{root}/.lock", _holder(ours), mode="create")
                return
            except (FileExistsError, OSError) as error:
                if not _is_there(error):
                    raise
        holder = json.loads(self.read(".lock") or b"{}")
        age = time.time() - holder.get("time", 0.0)
        if age < LEASE and not _is_dead(holder):
            raise InputError(
                f"{self.where} is being written by another process (pid {holder.get('pid')} on "
                f"{holder.get('node')}): wait for it or stop it; a dead one's hold ends after {LEASE:.0f} s"
            )
        self.write(".lock", _holder(ours))
        time.sleep(1.0)  # two may take it over at once: the last one has it
        if json.loads(self.read(".lock") or b"{}").get("hold") != ours:
            raise InputError(
                f"{self.where} was taken by another process a moment ago: wait for it or stop it"
            )


def _holder(ours: str) -> bytes:
    holder = {"hold": ours, "pid": os.getpid(), "node": os.uname().nodename, "time": time.time()}
    return json.dumps(holder).encode()


def _is_there(error: OSError) -> bool:
    text = str(error)
    return isinstance(error, FileExistsError) or "PreconditionFailed" in text or "412" in text


def _is_dead(holder: dict[str, Any]) -> bool:
    """A process of this machine that is no more."""
    if holder.get("node") != os.uname().nodename:
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def copy(url: str, results: Path) -> Path:
    """A study from an object store onto a disk, as `results/<study>`; files that are there already are kept
    where they have the right size.
    """
    source = ObjectFolder(url_of(url))
    place = results / source.where.rsplit("/", 1)[-1]
    sizes = source.sizes("")
    if "study.toml" not in sizes:
        raise InputError(f"{source.where} holds no study")
    for name, size in sizes.items():
        target = place / name
        if name == ".lock" or (
            target.exists() and target.stat().st_size == size and name.startswith("images/")
        ):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read(name) or b"")
    return place
