"""Votes needed, against the textbook and against what the planned study then does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import InputError
from bench.ratings import planning
from bench.ratings.fits import count_votes, davidson
from bench.ratings.planning import independent_votes, plan
from bench.ratings.simulation import Design, expected_chances, gap_for_rate, population_fit, simulate_votes


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
    found = plan(
        rate=0.65, rater_sd=0, prompt_sd=0, ties=0, votes_per_rater=5, prompts=1000, repeats=200, seed=1
    )
    assert found.votes_per_pair == pytest.approx(found.independent_per_pair, rel=0.2)
    assert found.raters * 5 == found.votes


def test_clusters_make_a_claim_dearer_and_few_prompts_make_it_impossible(monkeypatch):
    found = plan(rate=0.65, votes_per_rater=20, prompts=100, repeats=60)
    assert found.inflation > 1.5
    monkeypatch.setattr(planning, "MOST_VOTES", 40_000)
    hopeless = plan(rate=0.53, votes_per_rater=1000, prompts=20, repeats=20)
    assert hopeless.votes is None
    assert "take more prompts" in hopeless.note


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
