"""The tables of the arena, and the engine that reaches them: SQLite in WAL mode, or PostgreSQL by URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
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
    text,
)
from sqlalchemy.exc import ArgumentError

from bench.errors import InputError

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
)

panels = Table(  # the only table that knows who somebody is; `arena forget` erases rows of it
    "panels",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("participant", String(200), primary_key=True),
    Column("panel_study", String(200), nullable=False, default=""),
    Column("panel_session", String(200), nullable=False, default=""),
    Column("salt", String(64), nullable=False),
    Column("rater_id", String(64), ForeignKey("raters.id"), nullable=False, index=True),
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
    Column("id", Integer, primary_key=True),
    Column("token", String(64), nullable=False, unique=True),
    Column("left_token", String(64), nullable=False, unique=True),
    Column("right_token", String(64), nullable=False, unique=True),
    Column("reference_token", String(64), nullable=True, unique=True),
    Column("rater_id", String(64), ForeignKey("raters.id"), nullable=False),
    Column("number", Integer, nullable=False),  # 0-based, within the rater
    Column("cell_id", Integer, ForeignKey("cells.id"), nullable=True),  # None: holds no slot
    Column("kind", String(10), nullable=False),
    Column("question", String(40), nullable=False),
    Column("prompt_id", String(200), nullable=False),
    Column("replicate", Integer, nullable=False),
    Column("left", String(200), nullable=False),
    Column("right", String(200), nullable=False),
    Column("left_change", String(200), nullable=False, default=""),  # '', 'degraded' or 'prompt:<id>'
    Column("right_change", String(200), nullable=False, default=""),
    Column("expected", String(10), nullable=False, default=""),
    Column("repeats", Integer, nullable=True),  # the assignment that is shown a second time
    Column("scene", String(500), nullable=True),  # contenders, prompt, replicate; a rater sees one once
    Column("probability", Float, nullable=False),
    Column("prompt_probability", Float, nullable=False),
    Column("issued", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("state", String(10), nullable=False, default="open"),  # open, voted, expired, skipped
    Column("revision", Integer, nullable=False, default=0),
    UniqueConstraint("rater_id", "number"),
    UniqueConstraint("rater_id", "scene"),  # NULL scenes (checks, repeats) never collide
    Index("ix_assignments_state_expires", "state", "expires"),
)

votes = Table(  # append only: an undo is a row too
    "votes",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("assignment_id", Integer, ForeignKey("assignments.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("answer", String(10), nullable=False),
    Column("seconds", Float, nullable=True),
    Column("created", Float, nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("assignment_id", "revision"),
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


def migrate(engine: Engine) -> str:
    """Bring the tables to the newest revision; returns it. Two servers that start at once take turns."""
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(726523)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return MigrationContext.configure(connection).get_current_revision() or ""
