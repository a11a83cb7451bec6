"""The tables of the arena, and the engine that reaches them: SQLite in WAL mode, or PostgreSQL by URL."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    inspect,
    literal,
    null,
    text,
)
from sqlalchemy.exc import ArgumentError

from arena.db.rows import Assignment, Vote, columns
from bench.errors import InputError

if TYPE_CHECKING:
    from alembic.config import Config

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

raters = Table(
    "raters",
    metadata,
    Column("id", String(64), primary_key=True),  # salted hash, never a name
    Column("created", Float, nullable=False),  # seconds since 1970, UTC, as all times here
    Column("group_label", String(200), nullable=False, default=""),
    Column("issued", Integer, nullable=False, default=0),  # assignments so far
    Column("voted", Integer, nullable=False, default=0),
    Column("simulated", Boolean, nullable=False, default=False),
    Column("consent_version", String(40)),  # of the text the rater agreed to; NULL before revision 0003
    Column("consent_sha256", String(64)),
    Column("session_hash", String(64)),  # of the one browser session that may vote; NULL before revision 0003
    Column("declared", JSON(none_as_null=True)),  # answers to screening and demographic questions
    Column("standing", String(20), nullable=False, default="", server_default=""),  # '': takes part
    Column("standing_reason", String(200), nullable=False, default="", server_default=""),
    Column("code", String(20), nullable=False, default="", server_default=""),  # completion code shown
    Column("practice", String(10), nullable=False, default="", server_default=""),  # '', passed, failed
    Column(
        "language", String(20), nullable=False, default="", server_default=""
    ),  # of the page; '' before 0004
)

panels = Table(  # the only table with a person's id; `arena forget` erases rows of it
    "panels",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("participant", String(200), primary_key=True),
    Column("panel_study", String(200), nullable=False, default=""),
    Column("panel_session", String(200), nullable=False, default=""),
    Column("salt", String(64), nullable=False),
    Column("rater_id", String(64), ForeignKey("raters.id"), nullable=False, index=True),
    Column("verified", String(10), nullable=False, default="", server_default=""),  # '', signed, listed
)

invites = Table(
    "invites",
    metadata,
    Column("code_hash", String(64), primary_key=True),
    Column("label", String(200), nullable=False),
    Column("uses", Integer, nullable=False),
    Column("used", Integer, nullable=False, default=0),
)

pairs = Table(  # counters, so that choosing a pair never counts votes
    "pairs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("question", String(40), nullable=False),
    Column("first", String(200), nullable=False),
    Column("second", String(200), nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("taken", Integer, nullable=False, default=0),  # open or voted
    Column("voted", Integer, nullable=False, default=0),
    Column("first_wins", Integer, nullable=False, default=0),
    Column("second_wins", Integer, nullable=False, default=0),
    Column("ties", Integer, nullable=False, default=0),
    Column("both_bad", Integer, nullable=False, default=0),
    Column("decided", Boolean, nullable=False, default=False),  # the better is known: asked no more
    UniqueConstraint("question", "first", "second"),
)

cells = Table(  # one pair on one prompt and replicate
    "cells",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pair_id", Integer, ForeignKey("pairs.id"), nullable=False),
    Column("prompt_id", String(200), nullable=False),
    Column("replicate", Integer, nullable=False),
    Column("taken", Integer, nullable=False, default=0),
    UniqueConstraint("pair_id", "prompt_id", "replicate"),
)

assignments = Table(
    "assignments",
    metadata,
    *columns(Assignment),
    UniqueConstraint("rater_id", "number"),
    UniqueConstraint("rater_id", "scene"),  # NULL scenes (checks, repeats) never collide
    Index("ix_assignments_state_expires", "state", "expires"),
)

votes = Table("votes", metadata, *columns(Vote), UniqueConstraint("assignment_id", "revision"))

participant_lists = Table(  # qualification: who may take part, who may not
    "participant_lists",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("participant", String(200), primary_key=True),
    Column("listed", String(3), nullable=False),  # in, out
)

session_codes = Table(  # one-time codes that move a rater to another browser
    "session_codes",
    metadata,
    Column("code_hash", String(64), primary_key=True),
    Column("rater_id", String(64), ForeignKey("raters.id"), nullable=False),
    Column("expires", Float, nullable=False),
)

reports = Table(  # what raters reported about an image
    "reports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("assignment_id", Integer, ForeignKey("assignments.id"), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("comment", Text, nullable=False, default=""),
    Column("created", Float, nullable=False),
)

set_aside = Table(  # attention checks that a person looked at and does not hold against the rater
    "set_aside",
    metadata,
    Column("assignment_id", Integer, ForeignKey("assignments.id"), primary_key=True, autoincrement=False),
    Column("reason", String(200), nullable=False),
    Column("created", Float, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("key", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)


def connect(url: str) -> Engine:
    """Engine of a URL. Raises InputError for anything but SQLite and PostgreSQL."""
    if url.startswith("postgres://"):
        url = "postgresql://" + url.removeprefix("postgres://")
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise InputError(
            f"unknown database '{url.split(':')[0]}': allowed are sqlite:///PATH and postgresql://…"
        )
    try:
        if url.startswith("sqlite"):
            return _sqlite(url)
        return create_engine(
            url, pool_pre_ping=True, pool_size=10, max_overflow=30, connect_args={"connect_timeout": 5}
        )
    except ArgumentError as error:
        raise InputError(f"database URL cannot be read: {error}") from None
    except ModuleNotFoundError:
        raise InputError("PostgreSQL needs psycopg: install turbo-preference-bench[postgres]") from None


def relax(connection: Connection) -> None:
    """PostgreSQL's form of a transaction that need not wait for the disk."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL synchronous_commit = off"))


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path.resolve()}"


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 10}, pool_size=10, max_overflow=40)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=10000",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock at once: an upgrade in mid-transaction fails without waiting.
        options = connection.get_execution_options()
        if options.get("arena_reading", False):
            connection.exec_driver_sql("BEGIN")
            return
        connection.exec_driver_sql(
            f"PRAGMA synchronous={'FULL' if options.get('arena_durable', True) else 'NORMAL'}"
        )
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _script_config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(engine: Engine, to: str = "head") -> str:
    """Bring the tables to a revision, the newest unless named; returns it.

    One transaction: killed half-way, it leaves the old revision. Two servers that start at once take turns.
    Raises InputError: the database is of a newer version than this program.
    """
    from alembic import command
    from alembic.util import CommandError

    config = _script_config()
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(726523)"))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, to)
        except CommandError as error:
            raise InputError(
                f"the database has revision {revision(connection)}, which this program does not know: "
                f"it was written by a newer version; install that ({error})"
            ) from None
        return revision(connection) or ""


def revision(connection: Connection) -> str | None:
    """Of the tables; None where there are none yet."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


@cache
def head() -> str:
    """The newest revision this program knows."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_script_config()).get_current_head() or ""


def as_stored(connection: Connection, table: Table) -> dict[str, ColumnElement[Any]]:
    """Columns of the table for a SELECT, by name; those that an older database lacks, as their default.

    Reading (export, verify, rate) thus works without a migration.
    """
    there = {column["name"] for column in inspect(connection).get_columns(table.name)}
    return {c.name: c if c.name in there else _default(c).label(c.name) for c in table.columns}


def _default(column: Column[Any]) -> ColumnElement[Any]:
    return null() if column.default is None else literal(getattr(column.default, "arg", None), column.type)
