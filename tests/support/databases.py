"""Databases for tests: a fresh SQLite file or a fresh database on one PostgreSQL server, by URL."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def load_dump(url: str, folder: Path, revision: str) -> None:
    """Fill the database with a released version's dump, as its own tool wrote it."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.executescript((folder / f"{revision}.sqlite.sql").read_text(encoding="utf-8"))
        connection.close()
        return
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((folder / f"{revision}.postgres.sql").read_text(encoding="utf-8").encode())


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """URL of a new database on the server; dropped afterwards, whoever is still connected."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        yield server_url.rpartition("/")[0] + "/" + name
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
