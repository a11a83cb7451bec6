"""Win rates, both-bad rates, equivalence: against closed forms, a jackknife and simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.ratings.clusters import PRIOR
from bench.ratings.simulation import Design, expected_chances, gap_for_rate, simulate_votes
from bench.ratings.uncertainty import t_quantile
from bench.ratings.vote_table import code_battles, select
from bench.ratings.winrates import (
    average_win_rates,
    both_bad_rates,
    detectable,
    equivalences,
    pair_rates,
    wilson,
)
from tests.support.crossed_votes import CrossedDesign, drawn_votes, even

DESIGN = Design(strengths=(0.5, 0.1, -0.1, -0.5), raters=25, votes_per_rater=60, prompts=30, position=0.2)


@pytest.fixture(scope="module")
def table():
    return simulate_votes(replace(DESIGN, both_bad=0.1), 4)


def test_wilson_published_example():
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 → 0.2553 to 0.3662.
    low, high = wilson(np.array([81 / 263]), np.array([263]), t_quantile(math.inf))
    assert (low[0], high[0]) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_pair_rates_count_a_tie_as_half_and_leave_both_bad_out(votes):
    rows = [("a", "b", 0), ("b", "a", 0), ("b", "a", 1), ("a", "b", 2), ("a", "b", 3)]
    pairs = pair_rates(votes(rows))
    assert pairs.counts.tolist() == [[2, 1, 1, 1]]
    assert pairs.rates.rate[0] == pytest.approx(2.5 / 4)
    assert pairs.rates.n[0] == 4


def test_a_pair_of_both_bad_only_has_no_rate(votes):
    pairs = pair_rates(votes([("a", "b", 3), ("a", "c", 0), ("b", "c", 1)]))
    assert np.isnan(pairs.rates.rate[0])
    assert pairs.counts[0].tolist() == [0, 0, 0, 1]


def test_clustered_rates_widen_where_raters_answer_alike(votes):
    """Ten raters, each with one opinion given 20 times, are ten votes: the interval is that of ten."""
    rows = [("a", "b", rater % 2, rater, f"{rater}-{i}") for rater in range(10) for i in range(20)]
    rates = pair_rates(votes(rows)).rates
    assert rates.error[0] == pytest.approx(math.sqrt(0.25 / 9), rel=0.02)
    assert rates.high[0] - rates.low[0] > 3 * (rates.wilson_high[0] - rates.wilson_low[0])


def test_unanimous_votes_do_not_give_an_interval_of_no_width(votes):
    rows = [("a", "b", 0, rater, prompt) for rater in range(5) for prompt in range(20)]
    rates = pair_rates(votes(rows)).rates
    assert rates.rate[0] == 1
    assert rates.low[0] < 0.7
    assert rates.high[0] == 1


def test_average_win_rates_average_to_a_half_in_a_full_round(table):
    rates, opponents = average_win_rates(table)
    assert rates.rate.mean() == pytest.approx(0.5)
    assert opponents.tolist() == [3] * 4


def test_average_win_rate_error_agrees_with_a_jackknife_by_rater(table):
    alone = replace(table, prompt=None, prompts=())
    rates, _ = average_win_rates(alone)
    without = [average_win_rates(select(alone, alone.rater != r))[0].rate for r in range(25)]
    spread = np.sqrt(24 / 25 * ((without - np.mean(without, axis=0)) ** 2).sum(axis=0))
    assert rates.error == pytest.approx(spread, rel=0.1)


def test_both_bad_rate_is_found_again(table):
    rates = both_bad_rates(table)
    assert rates.rate == pytest.approx([0.1] * 4, abs=0.03)
    assert ((rates.low < 0.1) & (rates.high > 0.1)).all()


def test_equivalence_needs_votes_and_inferiority_is_seen(votes):
    even = [("a", "b", (r + p) % 2, r, p) for r in range(100) for p in range(100)]
    row = equivalences(pair_rates(votes(even)))[0]
    assert row.p_equivalent < 0.01
    few = equivalences(pair_rates(votes(even[:60])))[0]
    assert few.p_equivalent > 0.05
    worse = [("a", "b", int((7 * r + p) % 10 < 6), r, p) for r in range(40) for p in range(40)]
    row = equivalences(pair_rates(votes(worse)))[0]
    assert row.difference == pytest.approx(-10, abs=0.5)
    assert row.p_first_not_worse > 0.99
    assert row.p_second_not_worse < 0.01


def test_tost_interval_and_p_value_say_the_same():
    pairs = pair_rates(simulate_votes(replace(DESIGN, raters=200), 3))
    for row in equivalences(pairs, margin=8):
        assert (row.p_equivalent < 0.05) == (row.low > -8 and row.high < 8)


def test_an_interval_counts_the_raters_of_the_pair_and_not_of_the_table(votes):
    """Five raters judged a–b, forty others a–c: a–b stands on five."""
    rows = [("a", "b", (r + i) % 2, r, f"{r}-{i}") for r in range(5) for i in range(20)]
    rows += [("a", "c", (r + i) % 2, 100 + r, f"c{r}-{i}") for r in range(40) for i in range(20)]
    rates = pair_rates(votes(rows)).rates
    alone = pair_rates(votes(rows[:100])).rates
    assert alone.freedom[0] == pytest.approx(4, abs=0.01)
    # The other pair says how much raters differ, which PRIOR limits.
    assert 4 < rates.freedom[0] < 4 + PRIOR
    assert rates.freedom[1] > 39


def test_votes_that_all_stand_alone_have_wilsons_interval(votes):
    """Every vote its own rater and prompt: nothing to cluster on."""
    rates = pair_rates(votes([("a", "b", i % 3 == 0, i, i) for i in range(30)])).rates
    assert rates.freedom[0] == math.inf
    assert (rates.low[0], rates.high[0]) == pytest.approx((rates.wilson_low[0], rates.wilson_high[0]))


def test_one_pair_seen_once_does_not_widen_the_unanimous_others(votes):
    rows = [("a", "b", 0, r, f"{r}-{p}") for r in range(20) for p in range(5)]
    alone = pair_rates(votes(rows)).rates.low[0]
    assert pair_rates(votes([*rows, ("b", "c", 0, 0, 0)])).rates.low[0] == pytest.approx(alone)


def test_pair_intervals_hold_where_few_raters_judged_the_pair():
    """100 studies of two contenders by 5 raters with tastes of their own, 60 votes each."""
    design = Design(
        strengths=(0.4, -0.4), raters=5, votes_per_rater=60, prompts=300, rater_sd=0.8, prompt_sd=0
    )
    first, _, tie = expected_chances(design, np.array([0.8]))
    truth, held, naive = first[0] + tie[0] / 2, 0, 0
    for seed in range(100):
        rates = pair_rates(simulate_votes(design, seed)).rates
        held += rates.low[0] <= truth <= rates.high[0]
        naive += rates.wilson_low[0] <= truth <= rates.wilson_high[0]
    assert held >= 91
    assert naive < 75


def test_detectable_gap_is_what_four_studies_of_five_show():
    """Of studies whose true rate is that far from a half, 80% exclude a half."""
    even = Design(strengths=(0.0, 0.0), raters=60, votes_per_rater=30, prompts=200)
    gap = np.mean([detectable(pair_rates(simulate_votes(even, seed)).rates)[0] for seed in range(10)])
    d = gap_for_rate(even, 0.5 + gap / 100)
    found = [
        pair_rates(simulate_votes(replace(even, strengths=(d / 2, -d / 2)), s)).rates.low[0] > 0.5
        for s in range(200)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.08)


def test_average_win_rates_of_two_contenders_are_their_win_rate_with_its_interval():
    design = CrossedDesign(abilities=(0.3, -0.3), rater_shares=even(5), prompt_shares=even(40), votes=300)
    table = code_battles(drawn_votes(design, 1))
    pair, (average, _) = pair_rates(table).rates, average_win_rates(table)
    assert average.freedom == pytest.approx(np.repeat(pair.freedom, 2))
    assert [average.low[0], average.high[0]] == pytest.approx([pair.low[0], pair.high[0]])
    assert [average.low[1], average.high[1]] == pytest.approx([1 - pair.high[0], 1 - pair.low[0]])
