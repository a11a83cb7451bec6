"""What the desk hands out in whole simulated studies: even prompts and sides, votes where the target wants them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from arena import simulate
from arena.results import export
from tests.support.arena_desk import make_desk
from tests.support.arena_study import NAMES


def _votes(desk):
    rows, _ = export.collect(desk.database, desk.prompts, desk.exclusion)
    return [row for row in rows if row.kind == "vote"]


def test_balanced_is_even_over_pairs_prompts_and_the_sides_of_each_rater(tmp_path):
    desk = make_desk(tmp_path / "s", votes_per_pair=40, questions=("quality",), repeat_rate=0.0)
    simulate.simulate(desk, simulate.World(), count=12, votes_each=9)
    votes = _votes(desk)
    pairs = Counter(tuple(sorted((v.left, v.right))) for v in votes)
    assert max(pairs.values()) - min(pairs.values()) <= 2  # a rater leaves with one more pair in hand
    prompts = Counter(v.prompt_id for v in votes)
    assert len(prompts) == len(desk.prompts)
    assert max(prompts.values()) - min(prompts.values()) <= 3
    for rater in {v.rater for v in votes}:
        for name in NAMES:
            sides = [v.left == name for v in votes if v.rater == rater and name in (v.left, v.right)]
            assert abs(sum(sides) - len(sides) / 2) <= 1.5
    desk.database.close()


def test_active_moves_votes_to_the_close_pair_and_keeps_the_total(tmp_path):
    desk = make_desk(
        tmp_path / "s", votes_per_pair=40, questions=("quality",), pairing="active", target="first",
        attention_rate=0.0, repeat_rate=0.0, prompts=60,
    )  # fmt: skip
    world = simulate.World(
        strengths={NAMES[0]: 2.5, NAMES[1]: 2.4, NAMES[2]: -2.0}, prompt_sd=0.1, rater_sd=0.1
    )
    simulate.simulate(desk, world, count=12, votes_each=8)
    with desk.database.reading() as tx:
        rows = {(p.first, p.second): p for p in tx.pairs()}
    assert sum(p.wanted for p in rows.values()) == 120
    close = rows[tuple(sorted(NAMES[:2]))]
    assert close.voted > 1.5 * np.mean([p.voted for p in rows.values() if p is not close])
    desk.database.close()
