"""The database of one study: its engine, the server's key, and its transactions.

Work happens in `writing()` (one short transaction) or `reading()`; what is done in one is in `arena.db.assignments`
and `arena.db.raters`.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from arena.db import schema
from arena.db.assignments import Transaction
from bench.errors import InputError

UNSEALED = ("0001", "0002")
"""Revisions in which the head of the log had no seal; migrating seals it as it stands."""


class VoteDatabase:
    """The tables of one study."""

    def __init__(self, url: str, key: bytes) -> None:
        self.engine = schema.connect(url)
        self.key = key
        # SQLite's own waiting is a poll with growing sleeps; within a process a lock is fair and quick.
        self._gate = threading.Lock() if self.engine.dialect.name == "sqlite" else nullcontext()
        self._old: bool | None = None

    def migrate(self) -> str:
        with self.engine.connect().execution_options(arena_reading=True) as connection:
            before = schema.revision(connection)
        revision = schema.migrate(self.engine)
        self._old = False
        if before in UNSEALED:
            with self.writing() as tx:
                seq, head, seal = tx.chain
                if not seal:
                    tx.set_chain(seq, head)
        return revision

    @property
    def empty(self) -> bool:
        """Whether there are no tables yet."""
        with self.engine.connect().execution_options(arena_reading=True) as connection:
            return schema.revision(connection) is None

    @property
    def old(self) -> bool:
        """Whether the tables are of an earlier revision; they can be read, and not written."""
        if self._old is None:
            with self.engine.connect().execution_options(arena_reading=True) as connection:
                self._old = schema.revision(connection) != schema.head()
        return self._old

    def scrub(self, gone: Sequence[str]) -> str:
        """Make what was deleted unreadable in SQLite's files, and look whether it is.

        PostgreSQL overwrites deleted rows at its next vacuum, which is asked for here.

        Parameters
        ----------
        gone: texts that must not be in the files any more.

        Returns
        -------
        The file that may still hold one of them, because another program reads an older state; else ''.
        """
        if self.engine.dialect.name != "sqlite":
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM panels, participant_lists"))
            return ""
        with closing(self.engine.raw_connection()) as connection:  # outside of any transaction
            busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        path = Path(str(self.engine.url.database))
        if busy:
            return f"{path.name}-wal"
        for file in (path, path.with_name(path.name + "-wal")):
            if file.exists() and file.stat().st_size and _holds(file, [one.encode() for one in gone]):
                return file.name
        return ""

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Transaction]:
        """One transaction. Durable: on the disk when it ends, also if the power fails; what can be done
        again (handing out a pair) need not wait for the disk. A killed process loses neither."""
        options = {"arena_durable": durable}
        with self._gate, self.engine.execution_options(**options).begin() as connection:
            if not durable:
                schema.relax(connection)
            yield Transaction(connection, self.key)

    @contextmanager
    def reading(self, *, snapshot: bool = False) -> Iterator[Transaction]:
        """One reading transaction. snapshot: all its queries see the same state, on PostgreSQL too."""
        options: dict[str, Any] = {"arena_reading": True}
        if snapshot and self.engine.dialect.name == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"
        with self.engine.connect().execution_options(**options) as connection:
            yield Transaction(connection, self.key, self.old)

    def prepare(self, wanted: Mapping[tuple[str, str, str], tuple[int, Sequence[tuple[str, int]]]]) -> None:
        """Make the pool: (question, first, second) → votes wanted, prompts with replicates. May be repeated:
        what is there stays, what is new is added, and pairs that are no longer among them are asked no more."""
        for _ in range(3):
            try:
                with self.writing() as tx:
                    tx.add_pool(wanted)
                return
            except IntegrityError:  # another server added them meanwhile; the next round finds them there
                continue
        raise InputError(
            "the pool of pairs cannot be made: other servers keep changing it; start one at a time"
        )


def _holds(file: Path, texts: Sequence[bytes]) -> bool:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(text) >= 0 for text in texts)
