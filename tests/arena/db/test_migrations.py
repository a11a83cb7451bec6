"""Databases of released versions, with rows in every table, are migrated, and read without being migrated.

`released/*.sql` were written by the released code itself (`arena` at the commit that introduced each revision,
on SQLite 3.40 and PostgreSQL 15.18): four raters from Prolific, MTurk, an invite and the open link, who voted,
undid, skipped and let pairs expire. Dumped with `sqlite3 .dump` and `pg_dump --inserts`.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from arena.db import schema
from arena.db.database import VoteDatabase
from arena.db.proof import verify_database
from arena.db.vote_log import head_seal
from arena.results.export import export_log
from bench.errors import InputError
from tests.support.databases import load_dump

KEY = bytes(range(32))
RELEASED = ["0001", "0002", "0003"]
FIRST = (13, "a5ea5d349af13a45e8c2e9dc4831fd0f89d2d9822b35b4a64ad851e7235661e0")
LOGGED = {
    "0001": FIRST,
    "0002": FIRST,
    "0003": (11, "16a9c11a9a00c1234e512743ca02401fca87782d01a2e10d05d7f84601d7b179"),
}
"""Revision → rows of the log and hash of the last in both dumps, as the released code wrote them."""


@pytest.fixture(params=RELEASED)
def released(request, database_url):
    """URL of a database as a released version left it."""
    load_dump(database_url, Path(__file__).parent / "released", request.param)
    return database_url


def rows_in(db, query):
    return sorted((dict(row) for row in db.execute(text(query)).mappings()), key=repr)


def rows_of(url):
    engine = schema.connect(url)
    with engine.connect() as db:
        found = {
            name: rows_in(db, f"SELECT * FROM {name}")
            for name in inspect(engine).get_table_names()
            if name != "alembic_version"
        }
    engine.dispose()
    return found


def revision_of(url):
    engine = schema.connect(url)
    with engine.connect() as db:
        found = db.scalar(text("SELECT version_num FROM alembic_version"))
    engine.dispose()
    return found


def test_migrations_end_where_the_tables_are(database_url):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    engine = schema.connect(database_url)
    assert schema.migrate(engine) == schema.migrate(engine) == schema.head()
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


def test_a_released_database_is_migrated_with_every_row_and_its_chain_still_verifies(released):
    before = rows_of(released)
    count, last = LOGGED[revision_of(released)]
    assert all(before.values()), "the dump has rows in every table"
    database = VoteDatabase(released, KEY)
    assert database.migrate() == schema.head()
    engine = database.engine
    with engine.connect() as db:
        # The head of the log has a seal, or gains it; nothing else that was there changes.
        chain = next(row for row in before["settings"] if row["key"] == "chain")
        chain["value"] = f"{count}:{last}:{head_seal(KEY, count, last)}"
        before["settings"].sort(key=repr)
        for name, old in before.items():
            columns = ", ".join(f'"{column}"' for column in old[0])
            assert rows_in(db, f"SELECT {columns} FROM {name}") == old, name
    assert verify_database(database).rows == count
    with database.reading() as tx:
        assert tx.head == last
        assert {p.decided for p in tx.pairs()} == {False}
    database.close()


def test_a_released_database_is_exported_and_verified_without_being_migrated(released):
    revision = revision_of(released)
    database = VoteDatabase(released, KEY)
    old = export_log(database)
    assert verify_database(database).rows == LOGGED[revision][0]
    with database.reading() as tx:
        assert len(tx.pairs()) == 3
    assert revision_of(released) == revision
    database.migrate()
    assert export_log(database) == old
    database.close()


def test_a_migration_killed_half_way_leaves_the_old_revision_whole(released):
    before, old = rows_of(released), revision_of(released)
    revision = {"0001": "0002", "0002": "0003", "0003": "0004"}[old]
    # The process kills itself when the migration's version is about to be recorded: every table is changed by then.
    script = f"""
import os, signal
from sqlalchemy import event
from arena.db import schema
engine = schema.connect({released!r})
@event.listens_for(engine, "before_cursor_execute")
def kill(connection, cursor, statement, parameters, context, executemany):
    if statement.startswith("UPDATE alembic_version") and {revision!r} in statement + str(parameters):
        os.kill(os.getpid(), signal.SIGKILL)
schema.migrate(engine)
"""
    process = subprocess.run([sys.executable, "-c", script], env=os.environ, timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert revision_of(released) == old
    assert rows_of(released) == before
    database = VoteDatabase(released, KEY)
    assert database.migrate() == schema.head()
    assert verify_database(database).rows == LOGGED[old][0]
    database.close()


def test_a_database_of_a_later_version_is_refused_by_name(database_url):
    database = VoteDatabase(database_url, KEY)
    database.migrate()
    with database.engine.begin() as db:
        db.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(InputError, match=r"0999.*newer"):
        database.migrate()
    database.close()
