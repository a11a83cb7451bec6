"""Covariance, joint intervals, ranks, bootstrap, rates: against brute force, closed forms, simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from arena.battles import select
from arena.bootstrap import cluster_bootstrap
from arena.planning import Design, population_fit, simulate_votes
from arena.ratings import count_votes, davidson, log_likelihood
from arena.robustness import condorcet_cycles, consistency_quartiles, few_votes, flipping_raters
from arena.stopping import best_precision, holm, mixture_boundary, mixture_log_e, stopping
from arena.uncertainty import (
    bread_of,
    covariance,
    marginal_errors,
    rank_sets,
    simultaneous_differences,
    t_quantile,
)
from arena.winrates import average_win_rates, both_bad_rates, equivalences, pair_rates, wilson
from bench.records import InputError

DESIGN = Design(strengths=(0.5, 0.1, -0.1, -0.5), raters=25, votes_per_rater=60, prompts=30, position=0.2)


@pytest.fixture(scope="module")
def table():
    return simulate_votes(replace(DESIGN, both_bad=0.1), 4)


@pytest.fixture(scope="module")
def fit(table):
    return davidson(table.contenders, count_votes(table))


def brute_force_scores(fit, table):
    """(votes, p) gradients of each vote's log-likelihood by finite differences: no score formula of ours."""
    at = np.concatenate([fit.strength, [fit.position, fit.tie]])
    rows = []
    for left, right, outcome in zip(table.left, table.right, table.outcome, strict=True):
        counts = np.zeros((1, fit.size, fit.size, 3))
        counts[0, left, right, outcome] = 1
        row = []
        for step in 1e-5 * np.eye(len(at)):
            up, down = (
                (log_likelihood(counts, (at + s)[None], ties=True, position=True)[0]) for s in (step, -step)
            )
            row.append((up - down) / 2e-5)
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("kind", ["vote", "rater", "prompt"])
def test_one_way_sandwich_is_the_sum_over_clusters(fit, table, kind):
    votes = select(table, table.outcome != 3)
    scores = brute_force_scores(fit, votes)
    labels = {"vote": np.arange(len(votes)), "rater": votes.rater, "prompt": votes.prompt}[kind]
    groups = np.unique(labels)
    sums = np.array([scores[labels == g].sum(axis=0) for g in groups])
    bread = bread_of(fit)
    expected = bread @ (sums.T @ sums) @ bread * len(groups) / (len(groups) - 1)
    assert covariance(fit, table, kind).full == pytest.approx(expected, abs=1e-7)


def test_two_way_sandwich_adds_both_and_takes_off_the_intersection(fit, table):
    votes = select(table, table.outcome != 3)
    scores = brute_force_scores(fit, votes)
    bread = bread_of(fit)

    def meat(labels):
        groups = np.unique(labels)
        sums = np.array([scores[labels == g].sum(axis=0) for g in groups])
        return sums.T @ sums * len(groups) / (len(groups) - 1)

    cell = votes.rater * 1000 + votes.prompt
    expected = bread @ (meat(votes.rater) + meat(votes.prompt) - meat(cell)) @ bread
    found = covariance(fit, table)
    assert found.clusters == {"rater": 25, "prompt": 30, "rater and prompt": len(np.unique(cell))}
    assert found.freedom == 24
    # What clustering adds keeps its trace, whether or not it had to be mended.
    assert np.trace(found.full) == pytest.approx(np.trace(expected), rel=1e-6)
    if not found.mended:
        assert found.full == pytest.approx(expected, abs=1e-7)


def test_covariance_is_never_below_the_vote_level_one():
    plain = replace(DESIGN, rater_sd=0.0, prompt_sd=0.0)
    mended = 0
    for seed in range(20):
        votes = simulate_votes(plain, seed)
        fitted = davidson(votes.contenders, count_votes(votes))
        two, one = covariance(fitted, votes), covariance(fitted, votes, "vote")
        mended += two.mended
        # The vote-level one alone has n/(n-1); the two-way one stands on the plain sum.
        gap = two.full - one.full * (1 - 1 / len(votes))
        assert np.linalg.eigvalsh(gap)[0] > -1e-9
    assert mended > 0


def test_votes_in_unit_clusters_give_the_inverse_information_when_the_model_holds():
    votes = simulate_votes(replace(DESIGN, raters=200, votes_per_rater=300, rater_sd=0, prompt_sd=0), 8)
    fitted = davidson(votes.contenders, count_votes(votes))
    found = np.sqrt(np.diag(covariance(fitted, votes, "vote").full))
    assert found == pytest.approx(np.sqrt(np.diag(bread_of(fitted))), rel=0.05)


def test_clusters_that_the_table_lacks_are_refused(fit, table):
    with pytest.raises(InputError, match="needs a rater for every vote"):
        covariance(fit, replace(table, rater=None), "two-way")
    with pytest.raises(InputError, match="did you mean 'two-way'"):
        covariance(fit, table, "twoway")
    assert covariance(fit, replace(table, rater=None)).kind == "prompt"
    assert covariance(fit, replace(table, rater=None, prompt=None)).kind == "vote"


def test_joint_critical_value_of_two_is_student_and_of_many_is_tukey():
    from scipy.stats import studentized_range

    two = simultaneous_differences(np.array([0.1, -0.1]), np.eye(2), 20.0, draws=200_000)
    assert two.critical == pytest.approx(t_quantile(20.0), abs=0.02)
    five = simultaneous_differences(np.zeros(5), np.eye(5), 20.0, draws=200_000)
    assert five.critical == pytest.approx(studentized_range.ppf(0.95, 5, 20) / math.sqrt(2), abs=0.02)
    normal = simultaneous_differences(np.zeros(5), np.eye(5), math.inf, draws=200_000)
    assert normal.critical == pytest.approx(studentized_range.ppf(0.95, 5, np.inf) / math.sqrt(2), abs=0.02)


def test_adjusted_p_agrees_with_the_interval():
    found = simultaneous_differences(np.array([0.5, 0.2, 0.0, -0.7]), 0.02 * np.eye(4), 30.0)
    excludes = (found.low > 0) | (found.high < 0)
    assert ((found.p_adjusted < 0.05) == excludes).all()
    assert excludes.any()
    assert not excludes.all()


def test_rank_sets_of_clear_and_of_equal_contenders():
    clear = simultaneous_differences(np.array([2.0, 0.0, -2.0]), 0.001 * np.eye(3), 50.0)
    assert [part.tolist() for part in rank_sets(clear, 3)] == [[1, 2, 3], [1, 2, 3]]
    equal = simultaneous_differences(np.array([0.01, 0.0, -0.01]), np.eye(3), 50.0)
    assert [part.tolist() for part in rank_sets(equal, 3)] == [[1, 1, 1], [3, 3, 3]]
    shared = simultaneous_differences(np.array([1.0, 0.99, -2.0]), 0.01 * np.eye(3), 50.0)
    assert [part.tolist() for part in rank_sets(shared, 3)] == [[1, 1, 3], [2, 2, 3]]


def test_the_anchor_has_no_error_and_the_mean_has_one():
    matrix = np.array([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]])
    assert marginal_errors(matrix, 0) == pytest.approx([0, math.sqrt(6), math.sqrt(6)])
    assert marginal_errors(matrix, None) == pytest.approx([math.sqrt(2)] * 3)


def test_two_way_intervals_cover_where_vote_level_ones_do_not():
    """A small version of tests/performance/coverage.py, 150 repeats."""
    design = replace(DESIGN, raters=40, votes_per_rater=100, prompts=100)
    truth = population_fit(design).strength
    held = {"vote": 0, "two-way": 0}
    for seed in range(150):
        votes = simulate_votes(design, 1000 + seed)
        fitted = davidson(votes.contenders, count_votes(votes))
        for kind in held:
            found = covariance(fitted, votes, kind)
            half = t_quantile(found.freedom) * marginal_errors(found.matrix, None)
            held[kind] += (np.abs(fitted.strength - truth) <= half).sum()
    assert held["vote"] / 600 < 0.85
    assert 0.92 < held["two-way"] / 600 < 0.98


def test_bootstrap_by_rater_agrees_with_the_sandwich_and_does_not_depend_on_workers(fit, table):
    drawn = cluster_bootstrap(fit, table, replicates=1000, kind="rater", seed=3, workers=1)
    again = cluster_bootstrap(fit, table, replicates=1000, kind="rater", seed=3, workers=2)
    assert (drawn.strength == again.strength).all()
    assert drawn.unbounded == 0
    expected = marginal_errors(covariance(fit, table, "rater").matrix, None)
    assert drawn.strength.std(axis=0) == pytest.approx(expected, rel=0.12)


def test_bootstrap_counts_are_the_weighted_votes(fit, table):
    """The two-stage product against one loop over votes, with the same multiplicities."""
    from arena.bootstrap import _multiplicities, _Resampler

    votes = select(table, table.outcome != 3)
    resample = _Resampler(votes, fit.size, "two-way")
    counts = resample(3, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    by_prompt, by_rater = _multiplicities(30, 3, rng), _multiplicities(25, 3, rng)
    expected = np.zeros_like(counts)
    for left, right, outcome, rater, prompt in zip(
        votes.left, votes.right, votes.outcome, votes.rater, votes.prompt, strict=True
    ):
        expected[:, left, right, outcome] += by_rater[rater] * by_prompt[prompt]
    assert counts == pytest.approx(expected)


def test_vote_bootstrap_is_the_inverse_information():
    votes = simulate_votes(replace(DESIGN, rater_sd=0, prompt_sd=0), 2)
    fitted = davidson(votes.contenders, count_votes(votes))
    drawn = cluster_bootstrap(fitted, votes, kind="vote", replicates=1000)
    expected = marginal_errors(bread_of(fitted)[:4, :4], None)
    assert drawn.strength.std(axis=0) == pytest.approx(expected, rel=0.12)


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
    assert ("loud", "b") in flipping_raters(fitted, table)


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


def test_holm_worked_example():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_mixture_boundary_and_e_value_meet_at_the_level():
    time, precision = np.array([3.0, 50.0, 4000.0]), 1.7
    edge = mixture_boundary(time, 0.05, precision)
    assert np.exp(mixture_log_e(edge, time, precision)) == pytest.approx([20.0] * 3)


def test_confidence_sequence_agrees_with_ville():
    ville = pytest.importorskip("ville", reason="ville is not installed")
    rho = best_precision(50.0, 0.05)
    time = np.array([1.0, 25.0, 400.0])
    assert mixture_boundary(time, 0.05, rho) == pytest.approx(ville.normal_mixture(time, 0.05, rho))
    assert rho == pytest.approx(ville.best_rho(50.0, 0.05), rel=1e-3)


@pytest.mark.parametrize("kind", ["independent", "clustered"])
def test_peeking_after_every_rater_rarely_decides_between_equals(kind):
    """Equal contenders, 40 looks a study, one pair: a false decision in at most 5% of studies, up to
    simulation error; clustered votes under the clustered rule, independent under the independent one."""
    sd = 0.5 if kind == "clustered" else 0.0
    design = Design(strengths=(0.0, 0.0), raters=40, votes_per_rater=20, rater_sd=sd, prompt_sd=sd)
    wrong = naive = 0
    for seed in range(60):
        votes = simulate_votes(design, seed)
        looks = [select(votes, votes.rater < r) for r in range(4, 41, 2)]
        wrong += any(stopping(look, kind=kind)[0].decided for look in looks)
        rates = [pair_rates(look).rates for look in looks]
        naive += any(not r.wilson_low[0] <= 0.5 <= r.wilson_high[0] for r in rates)
    assert wrong <= 6
    assert naive >= 7


def test_a_clear_pair_is_decided_and_an_equal_one_is_not():
    design = Design(strengths=(1.0, -0.5, -0.5), raters=60, votes_per_rater=60)
    rows = {(row.a[-1], row.b[-1]): row for row in stopping(simulate_votes(design, 2))}
    assert rows["1", "2"].decided
    assert rows["1", "3"].decided
    assert not rows["2", "3"].decided
    with pytest.raises(InputError, match="unknown stopping rule"):
        stopping(simulate_votes(design, 2), kind="daily")
