"""Prediction-powered estimates: against the plain difference estimator, no gain from noise, invariance, coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.errors import InputError
from bench.ratings.prediction_powered import Predictions, powered_ratings, powered_win_rates, votes_saved
from bench.ratings.vote_table import code_battles
from bench.ratings.winrates import average_win_rates
from tests.support.crossed_votes import CrossedDesign, drawn_metric, drawn_votes, even, truth

DESIGN = CrossedDesign(
    abilities=(0.4, 0.0, -0.4),
    rater_shares=even(20),
    prompt_shares=even(40),
    votes=1200,
    rater_sd=0.2,
    prompt_sd=1.2,
)
SCORED = 200


def study(seed, correlation, *, offsets=(0.0, 0.0, 0.0), design=DESIGN):
    values = drawn_metric(design, seed, SCORED, correlation, offsets)
    predictions = Predictions(
        prompts=tuple(f"prompt-{number:04d}" for number in range(SCORED)),
        replicates=(0,) * SCORED,
        contenders=tuple(f"contender-{number:02d}" for number in range(len(design.abilities))),
        values=values,
    )
    return code_battles(drawn_votes(design, seed)), predictions


@pytest.fixture(scope="module")
def good():
    return study(1, 0.9)


def test_win_rates_are_the_difference_estimator_written_out(good):
    """rate - λ (mean gap over votes - mean gap over all prompts), opponent by opponent, in plain loops."""
    table, predictions = good
    powered = powered_win_rates(table, predictions)
    assert powered.slope > 0
    for contender in range(3):
        moved = []
        for rival in set(range(3)) - {contender}:
            values, gaps = [], []
            for left, right, outcome, prompt in zip(
                table.left, table.right, table.outcome, table.prompt, strict=True
            ):
                if {left, right} == {contender, rival}:
                    won = 0.5 if outcome == 2 else float((outcome == 0) == (left == contender))
                    row = predictions.values[predictions.prompts.index(table.prompts[prompt])]
                    values.append(won)
                    gaps.append(row[contender] - row[rival])
            everywhere = float((predictions.values[:, contender] - predictions.values[:, rival]).mean())
            moved.append(np.mean(values) - powered.slope * (np.mean(gaps) - everywhere))
        assert powered.value[contender] == pytest.approx(np.mean(moved))


def test_votes_alone_are_the_average_win_rates(good):
    table, predictions = good
    rates, _ = average_win_rates(table)
    powered = powered_win_rates(table, predictions)
    assert powered.votes_value == pytest.approx(rates.rate)
    assert powered.votes_variance == pytest.approx(rates.error**2)


def test_a_metric_that_sees_the_prompts_narrows_and_says_how_many_votes_it_saved(good):
    table, predictions = good
    assert powered_win_rates(table, predictions).gain > 1.2
    assert powered_ratings(table, predictions).gain > 1.2
    saved = votes_saved(table, predictions)
    assert 0 <= saved.low < saved.votes < saved.high


def test_a_constant_metric_changes_nothing(good):
    table, predictions = good
    flat = replace(predictions, values=np.tile([3.0, 1.0, 2.0], (SCORED, 1)))
    powered = powered_win_rates(table, flat)
    assert powered.slope == 0
    assert powered.value == pytest.approx(powered.votes_value)
    assert powered.low == pytest.approx(powered.votes_low)


@pytest.mark.parametrize("estimate", [powered_win_rates, powered_ratings])
def test_neither_scale_nor_offsets_nor_sign_of_the_metric_matter(good, estimate):
    """An offset a contender is the metric's own order of the contenders: it must not leak into the claim."""
    table, predictions = good
    before = estimate(table, predictions)
    after = estimate(
        table, replace(predictions, values=-7 * predictions.values + np.array([5.0, -3.0, 90.0]))
    )
    assert after.value == pytest.approx(before.value)
    assert after.low == pytest.approx(before.low)
    assert after.slope == pytest.approx(-before.slope / 7)


def test_all_prompts_voted_alike_leave_nothing_to_move(good):
    table, predictions = good
    voted = replace(
        predictions,
        prompts=predictions.prompts[:40],
        replicates=predictions.replicates[:40],
        values=predictions.values[:40],
    )
    powered = powered_win_rates(table, voted)
    assert np.abs(powered.value - powered.votes_value).max() < 0.02


def test_strata_give_each_part_its_share_of_all_prompts():
    """Votes on the first stratum's prompts only weigh as that stratum among the scored prompts does."""
    table, predictions = study(3, 0.0)
    strata = tuple("a" if number % 40 < 10 else "b" for number in range(SCORED))
    powered = powered_win_rates(table, replace(predictions, strata=strata))
    in_first = np.array([int(table.prompts[p].split("-")[1]) % 40 < 10 for p in table.prompt])
    weight = np.where(in_first, 0.25 / in_first.mean(), 0.75 / (1 - in_first.mean()))
    expected, _ = average_win_rates(replace(table, weight=weight))
    assert powered.votes_value == pytest.approx(expected.rate)


def test_intervals_hold_the_truth_over_prompts_never_voted_on():
    """Against numbers of tests/support alone; 40 studies, tail of a binomial at 1 in 1,000."""
    known = truth(DESIGN)
    rates = (known.win_rates.sum(axis=1) - 0.5) / 2
    held = []
    for seed in range(40):
        powered = powered_win_rates(*study(100 + seed, 0.9, offsets=(-2.0, 0.0, 2.0)))
        held.append((powered.low[0] <= rates[0]) & (rates[0] <= powered.high[0]))
    assert sum(held) >= 33


def test_too_few_prompts_or_missing_values_are_refused(good):
    table, predictions = good
    with pytest.raises(InputError, match="no values of contender-02"):
        powered_win_rates(
            table,
            replace(
                predictions, contenders=("contender-00", "contender-01"), values=predictions.values[:, :2]
            ),
        )
    few = replace(
        predictions, prompts=predictions.prompts[:5], replicates=(0,) * 5, values=predictions.values[:5]
    )
    with pytest.raises(InputError, match="fewer than 10 prompts"):
        powered_win_rates(table, few)
