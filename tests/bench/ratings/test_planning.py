"""Votes needed, against the textbook and against what the planned study then does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import InputError
from bench.prompts import fetch
from bench.ratings import planning
from bench.ratings.fits import count_votes, davidson
from bench.ratings.planning import Cost, comparisons_of, independent_votes, plan, sentences
from bench.ratings.power import critical_value
from bench.ratings.simulation import Design, expected_chances, gap_for_rate, population_fit, simulate_votes
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


def test_the_smallest_rate_the_asked_votes_tell_is_told_with_the_power():
    planned = plan(rate=0.58, prompts=300, repeats=0, votes_per_pair=900)
    again = plan(rate=planned.asked_rate, prompts=300, repeats=0, votes_per_pair=900)
    assert again.asked_power == pytest.approx(0.8, abs=0.01)


def test_hours_and_pay_are_votes_times_seconds_and_raters_times_setting_up():
    planned = plan(
        rate=0.6, prompts=300, repeats=0, questions=2, cost=Cost(pay=10, seconds=9, setup_minutes=6)
    )
    one = planned.answer
    assert one.hours == pytest.approx(2 * one.votes * 9 / 3600 + one.raters * 0.1)
    assert one.money == pytest.approx(10 * one.hours)


@pytest.mark.parametrize(
    ("contenders", "prompts", "raters", "votes_per_rater", "rate", "compare"),
    [(2, 40, 60, 50, 0.57, "all"), (4, 100, 40, 60, 0.58, "chosen"), (3, 60, 20, 40, 0.6, "all")],
)
def test_the_power_curve_is_that_of_simulated_studies(
    contenders, prompts, raters, votes_per_rater, rate, compare
):
    """Oracle: whole simulated studies with the intervals of `arena rate`; 0.1 is 2.5 standard errors."""
    base = Design(
        strengths=(0.0,) * contenders,
        prompts=prompts,
        raters=raters,
        votes_per_rater=votes_per_rater,
        comparisons=tuple(comparisons_of(contenders, compare)),
    )
    curve = planning.curve_for(base, rate)
    design = replace(curve.design, prompts=prompts, raters=raters, votes_per_rater=votes_per_rater)
    share = np.mean([planning._told_apart(design, curve, seed) for seed in range(150)])
    assert curve.power(raters * votes_per_rater, raters, prompts) == pytest.approx(share, abs=0.1)


def test_power_grows_with_votes_raters_and_prompts():
    curve = planning.curve_for(Design(strengths=(0.0, 0.0), comparisons=((0, 1),)), 0.55)
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
    """Oracle: scipy's studentised range, for all pairs of independent means."""
    from scipy.stats import studentized_range

    pairs = comparisons_of(6, "all")
    expected = studentized_range.ppf(0.95, 6, 20) / math.sqrt(2)
    assert critical_value(np.eye(6), pairs, 20) == pytest.approx(expected, rel=0.01)
