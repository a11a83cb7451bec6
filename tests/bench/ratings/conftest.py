"""Votes tables written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from bench.ratings.vote_table import VoteTable, code_battles
from bench.records import OUTCOMES, Battle


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
