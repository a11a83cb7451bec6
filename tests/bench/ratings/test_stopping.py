"""Stopping: the sequence against ville and closed forms, its error rate by simulation, Holm by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.errors import InputError
from bench.ratings.simulation import Design, simulate_votes
from bench.ratings.stopping import best_precision, holm, mixture_boundary, mixture_log_e, stopping
from bench.ratings.vote_table import select
from bench.ratings.winrates import pair_rates


def test_holm_worked_example():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_mixture_boundary_and_e_value_meet_at_the_level():
    time, precision = np.array([3.0, 50.0, 4000.0]), 1.7
    edge = mixture_boundary(time, 0.05, precision)
    assert np.exp(mixture_log_e(edge, time, precision)) == pytest.approx([20.0] * 3)


def test_best_precision_has_a_closed_form():
    # The boundary is lowest where r − ln r = 1 + 2 ln(1/α) with r = (time + ρ)/ρ: Lambert's W, branch −1.
    from scipy.special import lambertw

    for time, alpha in ((50.0, 0.05), (3.0, 0.01)):
        r = -lambertw(-(alpha**2) / math.e, -1).real
        assert best_precision(time, alpha) == pytest.approx(time / (r - 1), rel=1e-4)


def test_confidence_sequence_and_p_value_agree_with_ville(votes):
    import ville

    outcomes = np.random.default_rng(3).choice([0, 1, 2], 300, p=[0.5, 0.3, 0.2])
    won = np.array([1.0, 0.0, 0.5])[outcomes]
    sequence = ville.GaussianMixtureCS(sigma=0.5, alpha=0.05, t_opt=200, intersect=False).fit(won)
    test = ville.MSPRT(theta0=0.5, sigma=0.5, alpha=0.05, t_opt=200).fit(won)
    for n in (20, 120, 300):
        row = stopping(votes([("a", "b", code) for code in outcomes[:n]]), kind="independent")[0]
        low, high = sequence.lower_[n - 1], sequence.upper_[n - 1]
        assert (row.low, row.high) == pytest.approx((max(low, 0), min(high, 1)), abs=1e-5)
        assert row.p == pytest.approx(min(1.0, 1 / test.e_values_[n - 1]), rel=1e-3)


def test_ville_holds_up():
    """The oracle itself: fair coins looked at after each of 2,000 tosses leave its sequence in at most 5% of
    runs, up to simulation error, where a fixed-size interval is left by far more."""
    import ville

    coins = np.random.default_rng(0).integers(0, 2, (400, 2000)).astype(float)
    looks = np.arange(1, 2001)
    left = fixed = 0
    for row in coins:
        sequence = ville.GaussianMixtureCS(sigma=0.5, alpha=0.05, t_opt=200, intersect=False).fit(row)
        left += bool(((sequence.lower_ > 0.5) | (sequence.upper_ < 0.5)).any())
        fixed += bool((np.abs(np.cumsum(row) / looks - 0.5) > 0.98 / np.sqrt(looks))[19:].any())
    assert left <= 30
    assert fixed > 100


def test_holm_counts_pairs_that_have_not_met_yet(votes):
    """Three contenders, one pair judged so far: its p-value is one of three, not the only one."""
    rows = stopping(votes([("a", "b", 0)] * 40 + [("a", "c", 3)]), kind="independent")
    met = next(row for row in rows if row.n)
    assert met.p_adjusted == pytest.approx(min(1, 3 * met.p))


@pytest.mark.parametrize("kind", ["independent", "clustered"])
def test_peeking_after_every_rater_rarely_decides_between_equals(kind):
    """Equal contenders, 13 looks a study, one pair: a false decision in at most 5% of studies, up to
    simulation error; clustered votes under the clustered rule, independent under the independent one."""
    sd = 0.5 if kind == "clustered" else 0.0
    design = Design(strengths=(0.0, 0.0), raters=40, votes_per_rater=20, rater_sd=sd, prompt_sd=sd)
    wrong = naive = 0
    for seed in range(60):
        votes = simulate_votes(design, seed)
        looks = [select(votes, votes.rater < r) for r in range(4, 41, 3)]
        wrong += any(stopping(look, kind=kind)[0].decided for look in looks)
        rates = [pair_rates(look).rates for look in looks]
        naive += any(not r.wilson_low[0] <= 0.5 <= r.wilson_high[0] for r in rates)
    assert wrong <= 6
    assert naive >= 6


def test_a_clear_pair_is_decided_and_an_equal_one_is_not():
    design = Design(strengths=(1.0, -0.5, -0.5), raters=60, votes_per_rater=60)
    rows = {(row.a[-1], row.b[-1]): row for row in stopping(simulate_votes(design, 2))}
    assert rows["1", "2"].decided
    assert rows["1", "3"].decided
    assert not rows["2", "3"].decided
    with pytest.raises(InputError, match="unknown stopping rule"):
        stopping(simulate_votes(design, 2), kind="daily")


def test_nothing_is_decided_before_ten_raters_and_ten_prompts_have_judged_the_pair(votes):
    def asked(raters, prompts, kind="clustered"):
        rows = [("a", "b", 0, r, (r + i) % prompts) for r in range(raters) for i in range(40)]
        return stopping(votes(rows), kind=kind)[0]

    assert asked(10, 10).decided
    for early in (asked(9, 10), asked(10, 9)):
        assert (early.decided, early.p, early.low, early.high) == (False, 1.0, 0.0, 1.0)
    assert asked(9, 10, "independent").decided


def test_nothing_is_decided_before_the_raters_count_as_five_even_ones(votes):
    """Fifteen raters; the first gives a share of the votes that leaves 4.6, or 6.2, effective ones."""

    def asked(votes_of_the_first):
        sizes = [votes_of_the_first] + [20] * 14
        return stopping(
            votes([("a", "b", 0, r, i % 40) for r, size in enumerate(sizes) for i in range(size)])
        )[0]

    assert not asked(212).decided
    assert asked(155).decided
