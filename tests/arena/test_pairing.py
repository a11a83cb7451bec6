"""Choices of pairs: even, seeded, and with the probability they say they have."""

import math

import numpy as np
import pytest

from arena import pairing
from bench.errors import InputError


def test_same_seed_rater_and_number_give_the_same_draws():
    one = pairing.generator(3, "r", 5).random(4)
    assert np.array_equal(one, pairing.generator(3, "r", 5).random(4))
    for other in ((4, "r", 5), (3, "s", 5), (3, "r", 6)):
        assert not np.array_equal(one, pairing.generator(*other).random(4))


def test_balanced_takes_a_least_judged_pair_evenly_among_equals():
    rng = np.random.default_rng(0)
    taken, eligible = np.array([2, 1, 1, 0, 1]), np.array([True, True, True, False, True])
    drawn = np.zeros(5)
    for _ in range(3000):
        index, probability = pairing.choose_pair(rng, "balanced", taken=taken, eligible=eligible)
        drawn[index] += 1
        assert probability == pytest.approx(1 / 3)
    assert drawn[[0, 3]].sum() == 0
    assert np.all(np.abs(drawn[[1, 2, 4]] - 1000) < 5 * math.sqrt(3000 * 2 / 9))


def test_active_draws_as_often_as_the_probability_it_logs():
    rng = np.random.default_rng(1)
    gain, eligible = np.array([0.1, 0.4, 0.2, 0.9]), np.array([True, True, True, False])
    drawn, said = np.zeros(4), {}
    for _ in range(4000):
        index, probability = pairing.choose_pair(
            rng, "active", taken=np.zeros(4, int), eligible=eligible, gain=gain, epsilon=0.3
        )
        drawn[index] += 1
        said[index] = probability
    assert said == pytest.approx({0: 0.1, 1: 0.8, 2: 0.1})
    for index, probability in said.items():
        assert abs(drawn[index] - 4000 * probability) < 5 * math.sqrt(4000 * probability * (1 - probability))


def test_inverse_probabilities_undo_the_adaptive_choice():
    """Horvitz-Thompson: the weighted share of every pair is that of a uniform design."""
    rng = np.random.default_rng(2)
    weight = np.zeros(3)
    for _ in range(20000):
        gain = rng.random(3) * [1, 2, 3]
        index, p = pairing.choose_pair(
            rng, "active", taken=np.zeros(3, int), eligible=np.ones(3, bool), gain=gain, epsilon=0.3
        )
        weight[index] += 1 / p
    assert weight / weight.sum() == pytest.approx([1 / 3] * 3, abs=0.03)


def test_nothing_eligible_is_none():
    args = {"taken": np.zeros(2, int), "eligible": np.zeros(2, bool)}
    assert pairing.choose_pair(np.random.default_rng(0), "balanced", **args) is None


def test_exhaustive_gives_every_prompt_the_same_number_of_votes():
    assert pairing.wanted_votes("exhaustive", 50, 20) == 60
    assert pairing.wanted_votes("exhaustive", 1, 20) == 20
    assert pairing.wanted_votes("balanced", 50, 20) == 50
    with pytest.raises(InputError, match="did you mean 'balanced'"):
        pairing.wanted_votes("balanecd", 1, 1)


def test_questions_come_in_blocks_and_share_evenly():
    first = [pairing.question_order(("a", "b"), "rater", n)[0] for n in range(40)]
    assert all(len(set(first[i : i + 10])) == 1 for i in range(0, 40, 10))
    assert first.count("a") == 20


def test_order_information_is_that_of_a_million_simulated_votes():
    mean, variance = 0.4, 0.9
    rng = np.random.default_rng(3)
    d = rng.normal(mean, math.sqrt(variance), 1_000_000)
    vote, ahead = rng.random(d.size) < 1 / (1 + np.exp(-d)), d > 0
    table = np.array(
        [[np.mean(vote & ahead), np.mean(vote & ~ahead)], [np.mean(~vote & ahead), np.mean(~vote & ~ahead)]]
    )
    expected = (table * np.log(table / table.sum(0) / table.sum(1, keepdims=True))).sum()
    found = pairing.order_information(
        np.array([mean, 0.0]), np.diag([variance / 2] * 2), np.array([0]), np.array([1])
    )
    assert found[0] == pytest.approx(expected, abs=0.002)


def test_a_known_order_tells_nothing_and_an_open_one_does():
    mean = np.array([8.0, 0.0, 0.1])
    gains = pairing.order_information(mean, np.eye(3) * 0.1, np.array([0, 1]), np.array([1, 2]))
    assert gains[0] < 1e-6 < gains[1]
