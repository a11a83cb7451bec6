"""What the arena's tests share: ids that are the same at every run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.arena_server import postgres, postgres_programs
from tests.support.databases import fresh_database


@pytest.fixture(autouse=True)
def seeded_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rater's id is random, and seeds which pairs, checks and repeats that rater is given."""
    drawn = random.Random(20231128)
    seeded = SimpleNamespace(
        token_hex=lambda n: drawn.randbytes(n).hex(),
        token_urlsafe=lambda n: drawn.randbytes(n).hex()[: n * 4 // 3],
    )
    monkeypatch.setattr("arena.admission.secrets", seeded)
    monkeypatch.setattr("arena.voting.secrets", seeded)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server for all tests of the session."""
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres() as server:
        yield server.url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/votes.sqlite"
        return
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url
