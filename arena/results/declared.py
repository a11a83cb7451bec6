"""What raters declared about themselves, in sums too large to identify one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from arena.db import raters as register
from arena.db.database import VoteDatabase
from bench.study.file import Arena

FEWEST = 5
"""Raters below which an answer is not published by itself."""
REST = "other or not stated"


def declared_counts(
    database: VoteDatabase, settings: Arena, excluded: Container[str]
) -> dict[str, dict[str, int]]:
    """Demographic question → answer → raters whose votes count; answers of fewer than FEWEST are in REST."""
    with database.reading() as tx:
        people = [row for row in register.all_raters(tx.db) if row.voted and row.id not in excluded]
    sums = {}
    for name, question in settings.demographics.items():
        given = Counter((row.declared or {}).get(name, "") for row in people)
        known = {option: given[option] for option in question.options if given[option] >= FEWEST}
        rest = len(people) - sum(known.values())
        sums[name] = known | ({REST: rest} if rest else {})
    return sums
