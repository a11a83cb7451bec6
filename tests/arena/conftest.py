"""What the arena's tests share: ids that are the same at every run, and votes tables made by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

from bench.ratings.vote_table import VoteTable, code_battles
from bench.records import OUTCOMES, Battle


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


@pytest.fixture
def votes() -> Callable[..., VoteTable]:
    """(left, right, outcome code[, rater[, prompt]]) rows → table."""

    def make(rows: Sequence[tuple]) -> VoteTable:
        return code_battles(
            Battle(
                left=row[0],
                right=row[1],
                outcome=OUTCOMES[row[2]],
                rater=str(row[3]) if len(row) > 3 else "",
                prompt_id=str(row[4]) if len(row) > 4 else "",
            )
            for row in rows
        )

    return make
