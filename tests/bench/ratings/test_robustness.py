"""What the first place hangs on: worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.ratings.fits import SCALE, count_votes, davidson
from bench.ratings.rate import Options, rate
from bench.ratings.robustness import (
    condorcet_cycles,
    consistency_quartiles,
    few_votes,
    flipping_raters,
    without_each_rater,
)
from bench.ratings.simulation import Design, simulate_votes
from bench.ratings.vote_table import select
from bench.ratings.winrates import pair_rates

DESIGN = Design(strengths=(0.5, 0.1, -0.1, -0.5), raters=25, votes_per_rater=60, prompts=30, position=0.2)


def test_few_votes_flip_a_lead_of_few(votes):
    rows = [("a", "b", 0)] * 52 + [("a", "b", 1)] * 48 + [("b", "a", 2)] * 10
    table = votes(rows)
    found = few_votes(davidson(table.contenders, count_votes(table), position=False))
    assert (found.votes, found.challenger) == (5, "b")


def test_votes_that_flip_a_large_lead_are_counted_by_refits_not_to_first_order(votes):
    table = votes([("a", "b", 0)] * 70 + [("a", "b", 1)] * 30)
    assert few_votes(davidson(table.contenders, count_votes(table), position=False)).votes == 41
    table = votes([("a", "b", 0)] * 90 + [("a", "b", 1)] * 10)
    assert few_votes(davidson(table.contenders, count_votes(table), position=False)).votes is None


def test_a_rater_who_decides_the_first_place_is_named(votes):
    rows = [("a", "b", (r + i) % 2, r, i) for r in range(9) for i in range(20)]
    rows += [("a", "b", 0, "loud", i) for i in range(20)] + [("b", "a", 0, "quiet", i) for i in range(4)]
    table = votes(rows)
    fitted = davidson(table.contenders, count_votes(table))
    assert ("loud", "b") in flipping_raters(fitted, table, without_each_rater(fitted, table))


def test_cycles_and_the_condorcet_winner(votes):
    rock = [("paper", "rock", 0), ("rock", "scissors", 0), ("scissors", "paper", 0)]
    table = votes(rock)
    found = condorcet_cycles(table.contenders, pair_rates(table))
    assert (found.count, found.winner, len(found.examples)) == (1, None, 1)
    table = votes([*rock, ("well", "rock", 0), ("well", "paper", 0), ("well", "scissors", 0)])
    found = condorcet_cycles(table.contenders, pair_rates(table))
    assert (found.count, found.winner) == (1, "well")


def test_consistency_quartiles_put_random_raters_last():
    good = simulate_votes(replace(DESIGN, strengths=(1.5, 0.5, -0.5, -1.5), rater_sd=0.1), 1)
    outcome = good.outcome.copy()
    noisy = good.rater < 6
    outcome[noisy] = np.random.default_rng(0).integers(0, 2, noisy.sum())
    quartiles = consistency_quartiles(replace(good, outcome=outcome))
    assert [row.quartile for row in quartiles] == [1, 2, 3, 4]
    first, last = quartiles[0], quartiles[3]
    assert first.consistency < 0.6 < last.consistency
    assert max(first.strength) < max(last.strength)


def test_few_votes_of_three_contenders_are_no_more_than_an_exhaustive_search_by_cells():
    """The fewest of the leader's wins over all removals from two cells, each refitted."""
    counts = np.zeros((3, 3, 3))
    counts[0, 1], counts[1, 2], counts[0, 2] = (14, 11, 2), (12, 10, 0), (13, 12, 1)
    counts[1, 0], counts[2, 1], counts[2, 0] = (10, 12, 1), (10, 11, 2), (10, 13, 0)
    fit = davidson(("a", "b", "c"), counts, position=False)
    best = int(np.argmax(fit.strength))
    wins = [(best, k, 0) for k in range(3) if k != best] + [(k, best, 1) for k in range(3) if k != best]
    fewest = 99
    for place, one in enumerate(wins):
        for other in wins[place + 1 :]:
            for removed in np.ndindex(7, 7):
                if not 0 < sum(removed) < fewest:
                    continue
                left = counts.copy()
                left[one] -= removed[0]
                left[other] -= removed[1]
                if int(np.argmax(davidson(("a", "b", "c"), left, position=False).strength)) != best:
                    fewest = sum(removed)
    assert fewest < 99
    assert few_votes(fit).votes <= fewest


def test_leaving_out_a_rater_is_the_fit_of_the_others():
    table = simulate_votes(Design(strengths=(0.4, 0.0, -0.4), raters=6, votes_per_rater=60), 3)
    fit = davidson(table.contenders, count_votes(table))
    exact = without_each_rater(fit, table)
    for rater in range(6):
        others = select(table, table.rater != rater)
        assert exact[rater] == pytest.approx(
            davidson(table.contenders, count_votes(others)).strength, abs=1e-6
        )
    ratings = (
        rate(table, options=Options(bootstrap=0, shuffles=0))
        .questions["overall"]
        .robustness.without_one_rater
    )
    assert ratings[0].low == pytest.approx(1000 + SCALE * exact[:, 0].min(), abs=1e-3)
    assert ratings[0].high == pytest.approx(1000 + SCALE * exact[:, 0].max(), abs=1e-3)


def test_large_boards_leave_out_raters_by_one_step(monkeypatch):
    table = simulate_votes(Design(strengths=(0.4, 0.0, -0.4), raters=40, votes_per_rater=60), 3)
    fit = davidson(table.contenders, count_votes(table))
    exact = without_each_rater(fit, table)
    monkeypatch.setattr("bench.ratings.robustness.REFITTED", 0)
    assert without_each_rater(fit, table) == pytest.approx(exact, abs=0.01)
