"""What a pilot's votes say of rater and prompt SDs, against the SDs that made them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import InputError
from bench.ratings.pilot import estimate
from bench.ratings.planning import plan
from bench.ratings.simulation import Design, lognormal_shares, simulate_votes

TRUE = Design(
    strengths=(0.5, 0.0, -0.5), raters=40, votes_per_rater=60, prompts=80, rater_sd=0.8, prompt_sd=0.3,
    tie=math.log(2 * 0.15 / 0.85), rater_shares=lognormal_shares(40, 0.6),
)  # fmt: skip


@pytest.fixture(scope="module")
def pilots():
    return [estimate(simulate_votes(TRUE, seed)) for seed in range(8)]


def test_the_sds_and_ties_are_those_of_the_simulation(pilots):
    """Oracle: the design. Mean squares, since the squares are what moments estimate without bias."""
    rater, prompt = (np.array([getattr(p, name).value for p in pilots]) for name in ("rater", "prompt"))
    assert math.sqrt((rater**2).mean()) == pytest.approx(0.8, abs=0.12)
    assert math.sqrt((prompt**2).mean()) == pytest.approx(0.3, abs=0.12)
    assert np.mean([p.ties for p in pilots]) == pytest.approx(0.15, abs=0.02)
    assert pilots[0].unevenness == pytest.approx(0.6, abs=0.1)
    assert all(p.simulated for p in pilots)


def test_the_intervals_hold_the_truth_about_as_often_as_they_say(pilots):
    """Oracle: a binomial share of 90% over 16 intervals is 11 or more in 99.9%."""
    held = sum(p.rater.low <= 0.8 <= p.rater.high for p in pilots)
    held += sum(p.prompt.low <= 0.3 <= p.prompt.high for p in pilots)
    assert held >= 11


def test_what_the_pilot_leaves_open_is_carried_into_the_plan(pilots):
    """Oracle: plans in which one of the likely pairs of SDs is given as certain."""
    likely = [(0.2, 0.3), (0.9, 0.7)]
    design = {"rate": 0.65, "prompts": 300, "ties": 0.15, "repeats": 0}
    certain = [plan(rater_sd=r, prompt_sd=p, **design).answer.votes for r, p in likely]
    planned = plan(rater_sd=0.5, prompt_sd=0.5, likely=likely, **design)
    assert planned.likely_votes == tuple(certain)
    assert certain[0] < planned.answer.votes < certain[1]
    pilot = pilots[0]
    assert len(pilot.likely(None, None)) == 49
    assert pilot.likely(0.5, None) == [(0.5, sd) for sd in pilot.prompt.quantiles]


def test_votes_without_clusters_have_no_spread():
    votes = simulate_votes(replace(TRUE, rater_sd=0.0, prompt_sd=0.0), 3)
    pilot = estimate(votes)
    assert pilot.rater.low == pilot.prompt.low == 0.0
    assert max(pilot.rater.value, pilot.prompt.value) < 0.35


@pytest.mark.parametrize("lacks", [{"rater": None}, {"prompt": None}])
def test_a_pilot_needs_raters_and_prompts(lacks):
    with pytest.raises(InputError, match="needs the rater and the prompt"):
        estimate(replace(simulate_votes(TRUE, 0), **lacks))


def test_three_raters_are_too_few():
    with pytest.raises(InputError, match="4 raters or more"):
        estimate(simulate_votes(replace(TRUE, raters=3, rater_shares=()), 0))
