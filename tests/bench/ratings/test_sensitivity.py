"""Other weights: reliability against planted random raters, raking against its margins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.errors import InputError
from bench.ratings.fits import count_votes, davidson
from bench.ratings.sensitivity import Mix, post_stratified, reliabilities, variants
from bench.ratings.simulation import Design, simulate_votes

DESIGN = Design(
    strengths=(0.9, 0.2, -0.2, -0.9), raters=20, votes_per_rater=150, prompts=60, rater_sd=0.2, prompt_sd=0.3
)
RANDOM = 5


@pytest.fixture(scope="module")
def table():
    """The first RANDOM raters answer at random."""
    votes = simulate_votes(DESIGN, 3)
    rng = np.random.default_rng(1)
    outcome = np.where(votes.rater < RANDOM, rng.integers(0, 3, len(votes)), votes.outcome).astype(np.int8)
    return replace(
        votes,
        outcome=outcome,
        categories=("animals", "people"),
        category=(votes.prompt % 2).astype(np.int32),
        groups=("crowd", "staff"),
        group=(votes.rater % 4 == 0).astype(np.int32),
    )


@pytest.fixture(scope="module")
def fit(table):
    return davidson(table.contenders, count_votes(table))


def test_raters_who_answer_at_random_are_the_least_reliable(table, fit):
    share = reliabilities(table, fit)
    assert share[:RANDOM].max() < share[RANDOM:].min()
    assert ((share > 0) & (share < 1)).all()


def test_reliability_weights_bring_the_ratings_nearer_to_those_without_random_raters(table, fit):
    rows = variants(table, table, fit, mix=Mix(), anchor=None, position=True)
    careful = davidson(
        table.contenders, count_votes(replace(table, weight=1.0 * (table.rater >= RANDOM)))
    ).strength

    def spread(ratings):
        by = {row.contender: row.rating for row in ratings}
        return by[table.contenders[0]] - by[table.contenders[3]]

    wanted = 400 / np.log(10) * (careful[0] - careful[3])
    plain = 400 / np.log(10) * (fit.strength[0] - fit.strength[3])
    assert abs(spread(rows["reliability"].ratings) - wanted) < abs(plain - wanted)
    assert set(rows) == {"raters alike", "reliability"}


def test_raking_reaches_both_margins(table):
    weight = post_stratified(
        table, Mix(prompts={"animals": 3, "people": 1}, raters={"crowd": 0.4, "staff": 0.6})
    ).weight
    assert np.bincount(table.category, weight) / weight.sum() == pytest.approx([0.75, 0.25])
    assert np.bincount(table.group, weight) / weight.sum() == pytest.approx([0.4, 0.6])
    assert weight.mean() == pytest.approx(1)


def test_a_mix_that_the_votes_cannot_give_is_said_and_stops_nothing(table, fit):
    with pytest.raises(InputError, match="no share of category people"):
        post_stratified(table, Mix(prompts={"animals": 1}))
    with pytest.raises(InputError, match="unknown rater group with votes 'stuff'"):
        post_stratified(table, Mix(raters={"crowd": 1, "stuff": 1}))
    rows = variants(table, table, fit, mix=Mix(prompts={"animals": 1}), anchor=None, position=True)
    assert "no share of category people" in rows["stated mix"].note
