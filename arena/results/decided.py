"""Pairs about which enough is known, by the votes that count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from arena.db.database import VoteDatabase
from arena.quality import Exclusion
from arena.results.export import collect
from bench.records import Battle, Prompt


def decided_pairs(
    database: VoteDatabase, prompts: Mapping[str, Prompt], exclusion: Exclusion
) -> set[tuple[str, str, str]]:
    """Question, first and second of every pair whose better contender is known (`bench.ratings.stopping`)."""
    from bench.ratings.stopping import stopping
    from bench.ratings.vote_table import code_battles

    with database.reading() as tx:
        asked = Counter(pair.question for pair in tx.pairs())
    counted: dict[str, list[Battle]] = {}
    for row in collect(database, prompts, exclusion)[0]:
        if row.kind == "vote" and not row.excluded and row.outcome != "both_bad":
            counted.setdefault(row.question, []).append(row)
    return {
        (question, min(pair.a, pair.b), max(pair.a, pair.b))
        for question, rows in counted.items()
        for pair in stopping(code_battles(rows), among=asked[question])
        if pair.decided
    }
