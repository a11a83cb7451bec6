"""Votes needed, against the textbook and against what the planned study then does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import InputError
from bench.prompts import fetch
from bench.ratings.covariance import covariance
from bench.ratings.designs import Cost, comparisons_of, curve_for
from bench.ratings.fits import count_votes, davidson
from bench.ratings.plan_words import sentences
from bench.ratings.planning import independent_votes, plan
from bench.ratings.power import critical_value
from bench.ratings.simulation import (
    Design,
    expected_chances,
    gap_for_rate,
    lognormal_shares,
    population_fit,
    simulate_votes,
)
from bench.ratings.uncertainty import simultaneous_differences
from bench.study.study import read


def test_the_textbook_number_of_independent_votes():
    assert independent_votes(0.515) == 8719
    assert independent_votes(0.485) == 8719


@pytest.mark.parametrize("rate", [0.5, 0.0, 1.0, 1.2])
def test_a_rate_that_nothing_can_show_is_refused(rate):
    with pytest.raises(InputError, match="win rate"):
        independent_votes(rate)


@pytest.mark.parametrize(
    "wrong", [{"contenders": 1}, {"ties": 1.0}, {"rater_sd": -1}, {"prompts": 1}, {"power": 1.0}]
)
def test_impossible_designs_are_refused(wrong):
    with pytest.raises(InputError):
        plan(rate=0.6, **wrong)


def test_without_clusters_or_ties_the_plan_is_the_textbook_number():
    planned = plan(rate=0.65, rater_sd=0, prompt_sd=0, ties=0, votes_per_rater=1, prompts=10_000, repeats=0)
    # The textbook's variance is the null's 1/4; the logit's is that of the rate itself.
    assert planned.answer.votes == pytest.approx(planned.independent_per_pair, rel=0.1)


def test_few_prompts_set_a_ceiling_that_votes_do_not_lift():
    planned = plan(rate=0.53, votes_per_rater=1000, prompts=20, repeats=0)
    assert planned.answer is None
    assert planned.ceiling < 0.3
    assert planned.designs[0].prompts > 100
    assert "Take more prompts" in sentences(planned)[0]


def test_the_answer_does_not_depend_on_the_seed():
    plans = [plan(rate=0.58, contenders=3, prompts=200, repeats=20, seed=seed) for seed in (0, 1)]
    assert plans[0].answer == plans[1].answer


def test_named_comparisons_take_fewer_votes_than_all_pairs():
    every = plan(rate=0.58, contenders=5, prompts=300, repeats=0)
    named = plan(rate=0.58, contenders=5, prompts=300, repeats=0, comparisons=comparisons_of(5, "chosen"))
    assert named.comparisons == 4
    assert named.answer.votes < every.answer.votes


def test_uneven_raters_cost_votes():
    even, uneven = (plan(rate=0.58, prompts=300, repeats=0, spread=spread) for spread in (0.0, 1.5))
    assert uneven.answer.votes > 1.5 * even.answer.votes


def test_the_smallest_rate_that_the_asked_votes_show_is_shown_with_the_power():
    planned = plan(rate=0.58, prompts=300, repeats=0, votes_per_pair=900)
    again = plan(rate=planned.asked_rate, prompts=300, repeats=0, votes_per_pair=900)
    assert again.asked_power == pytest.approx(0.8, abs=0.01)


def test_hours_and_pay_are_votes_times_seconds_and_raters_times_setting_up():
    planned = plan(
        rate=0.6, prompts=300, repeats=0, questions=2, cost=Cost(pay=10, seconds=9, setup_minutes=6)
    )
    answer = planned.answer
    assert answer.raters == pytest.approx(2 * answer.votes / 40)
    assert answer.hours == pytest.approx(2 * answer.votes * 9 / 3600 + answer.raters * 0.1)
    assert answer.money == pytest.approx(10 * answer.hours)


def test_checks_and_repeats_take_raters_and_no_votes():
    """Oracle: 40 answers of which a quarter do not count are 30 votes."""
    bare = plan(rate=0.6, prompts=300, repeats=0, votes_per_rater=30).answer
    checked = plan(rate=0.6, prompts=300, repeats=0, votes_per_rater=40, checks=0.25).answer
    assert (checked.votes, checked.raters) == (bare.votes, bare.raters)
    assert checked.hours > bare.hours


STUDIES = 80


@pytest.mark.parametrize(
    ("contenders", "prompts", "raters", "votes_per_rater", "rate", "compare", "spread"),
    [(2, 40, 60, 50, 0.57, "all", 0.0), (4, 300, 80, 20, 0.58, "chosen", 1.0)],
)
def test_the_power_curve_is_that_of_simulated_studies(
    contenders, prompts, raters, votes_per_rater, rate, compare, spread
):
    """Oracle: simulated studies as `arena rate` rates them. Variance, degrees of freedom and critical value, of which
    power is a noncentral t, are compared each: an error of 5% of the standard error is seen in 80 studies, where the
    share of successes would be off by 2 points of 5. results/power has the shares of 1,000."""
    base = Design(
        strengths=(0.0,) * contenders,
        prompts=prompts,
        raters=raters,
        votes_per_rater=votes_per_rater,
        comparisons=tuple(comparisons_of(contenders, compare)),
        balanced=True,
        rater_shares=lognormal_shares(raters, spread) if spread else (),
    )
    curve = curve_for(base, rate, spread)
    rated = np.array([_rated(curve, seed) for seed in range(STUDIES)])
    size = raters * votes_per_rater, raters, prompts
    total = curve.estimated(*size)
    expected = total[0, 0] + total[1, 1] - 2 * total[0, 1]
    estimate, variance, freedom, critical = rated.T
    assert variance.mean() == pytest.approx(expected, rel=0.06)
    assert freedom.mean() == pytest.approx(curve.freedom(*size), rel=0.3)
    assert critical.mean() == pytest.approx(curve.critical(*size), rel=0.01)
    share, predicted = np.mean(estimate > critical * np.sqrt(variance)), curve.power(*size)
    assert share == pytest.approx(predicted, abs=3 * math.sqrt(predicted * (1 - predicted) / STUDIES))


def _rated(curve, seed):
    """Estimate, variance, degrees of freedom and critical value of the first pair."""
    table = simulate_votes(curve.design, seed)
    fit = davidson(table.contenders, count_votes(table))
    cover = covariance(fit, table)
    joint = simultaneous_differences(
        fit.strength, cover.matrix, cover.freedom, draws=2000, seed=seed, pairs=curve.comparisons
    )
    return fit.strength[0] - fit.strength[1], joint.error[0] ** 2, cover.freedom, joint.critical


def test_power_grows_with_votes_raters_and_prompts():
    curve = curve_for(Design(strengths=(0.0, 0.0), comparisons=((0, 1),)), 0.55)
    powers = [curve.power(n * 40, n, 200) for n in (5, 20, 80, 320)]
    assert powers == sorted(powers)
    assert [curve.ceiling(p) for p in (20, 100, 500)] == sorted(curve.ceiling(p) for p in (20, 100, 500))
    assert curve.power(320 * 40, 320, 200) < curve.ceiling(200)


def test_the_shipped_flagship_can_tell_what_it_asks(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path))
    fetch.add("parti", shared / "prompts" / "parti-prompts.tsv")
    study = read("turbo-preference")
    names = [c.name for c in study.contenders]
    planned = plan(
        rate=0.55,
        contenders=len(names),
        comparisons=[(names.index(a), names.index(b)) for a, b in study.comparisons],
        prompts=len(study.prompts),
        questions=len(study.file.arena.questions),
        checks=study.file.arena.checks,
        votes_per_rater=study.file.arena.votes_per_rater,
        votes_per_pair=study.file.arena.votes_per_pair,
        repeats=0,
    )
    assert planned.asked_power >= 0.8


def test_expected_chances_are_the_mean_over_raters_and_prompts():
    design = Design(strengths=(0.4, -0.4))
    rng = np.random.default_rng(0)
    d = 0.8 + math.sqrt(2 * (0.5**2 + 0.7**2)) * rng.standard_normal(400_000)
    left, right, tie = np.exp(d / 2), np.exp(-d / 2), np.exp(-0.7)
    expected = [np.mean(part / (left + right + tie)) for part in (left, right, tie)]
    assert np.array(expected_chances(design, np.array([0.8])))[:, 0] == pytest.approx(expected, abs=2e-3)


def test_population_fit_is_the_limit_of_simulated_studies():
    design = Design(strengths=(0.6, 0.0, -0.6), raters=3000, votes_per_rater=100, prompts=3000, position=0.2)
    table = simulate_votes(design, 6)
    fit, truth = davidson(table.contenders, count_votes(table)), population_fit(design)
    assert fit.strength == pytest.approx(truth.strength, abs=0.05)
    assert (fit.position, fit.tie) == pytest.approx((truth.position, truth.tie), abs=0.03)
    assert abs(truth.strength[0]) < 0.55


def test_gap_gives_the_rate_it_is_asked_for():
    design = Design(strengths=(0.0, 0.0), raters=4000, prompts=4000)
    gap = gap_for_rate(design, 0.6)
    table = simulate_votes(replace(design, strengths=(gap / 2, -gap / 2)), 3)
    won = np.where(table.left == 0, table.outcome == 0, table.outcome == 1) + (table.outcome == 2) / 2
    assert won.mean() == pytest.approx(0.6, abs=0.01)


def test_simulation_is_labelled_and_repeats_itself():
    design = Design(strengths=(0.1, -0.1), both_bad=0.2)
    one, two = simulate_votes(design, 5), simulate_votes(design, 5)
    assert one.simulated
    assert (one.outcome == two.outcome).all()
    assert (one.outcome == 3).mean() == pytest.approx(0.2, abs=0.03)


def test_the_joint_critical_value_is_tukeys():
    """Oracle: scipy's studentised range, for all pairs of independent means whose variance is known."""
    from scipy.stats import studentized_range

    pairs = comparisons_of(6, "all")
    expected = studentized_range.ppf(0.95, 6, np.inf) / math.sqrt(2)
    assert critical_value(np.eye(6), pairs, math.inf) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("freedom", [12, 40])
def test_the_joint_critical_value_is_that_of_few_clusters(freedom):
    """Oracle: differences of six normal means over standard errors of a sample covariance of few rows."""
    rng = np.random.default_rng(0)
    first, second = np.triu_indices(6, 1)
    mean = rng.standard_normal((3000, 6))
    rows = rng.standard_normal((3000, freedom, 6))
    gaps = rows[..., first] - rows[..., second]
    largest = np.abs(mean[:, first] - mean[:, second]) / np.sqrt((gaps**2).mean(axis=1))
    expected = np.quantile(largest.max(axis=1), 0.95)
    assert critical_value(np.eye(6), comparisons_of(6, "all"), freedom) == pytest.approx(expected, rel=0.03)


def test_balanced_votes_are_even_over_comparisons_and_prompts():
    pairs = tuple(comparisons_of(4, "chosen"))
    design = Design(
        strengths=(0.0,) * 4, raters=50, votes_per_rater=31, prompts=70, comparisons=pairs, balanced=True
    )
    table = simulate_votes(design, 1)
    assert np.ptp(np.bincount(table.prompt)) == 1
    rival = table.left + table.right
    assert np.ptp(np.bincount(rival)[1:]) <= 70 / 3
    assert np.ptp(np.bincount(rival * 70 + table.prompt, minlength=280)[70:]) <= 1
    assert abs(np.mean(table.left == 0) - 0.5) < 0.05
