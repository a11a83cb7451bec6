"""Choices of pairs: even, seeded, and with the probability they say they have."""

import itertools
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


def test_balanced_takes_a_pair_with_the_fewest_votes_evenly_among_equals():
    rng = np.random.default_rng(0)
    taken, eligible = np.array([2, 1, 1, 0, 1]), np.array([True, True, True, False, True])
    drawn = np.zeros(5)
    for _ in range(3000):
        index, probability = pairing.choose_pair(
            rng, "balanced", taken=taken, own=np.zeros(5, int), eligible=eligible
        )
        drawn[index] += 1
        assert probability == pytest.approx(1 / 3)
    assert drawn[[0, 3]].sum() == 0
    assert np.all(np.abs(drawn[[1, 2, 4]] - 1000) < 5 * math.sqrt(3000 * 2 / 9))


def test_among_equals_the_pair_that_the_rater_has_seen_least_comes_first():
    args = {"taken": np.array([1, 1, 1]), "own": np.array([2, 0, 1]), "eligible": np.ones(3, bool)}
    assert pairing.choose_pair(np.random.default_rng(0), "balanced", **args) == (1, 1.0)


def test_active_gives_a_rater_the_pairs_in_proportion_to_the_votes_they_lack():
    """Oracle: 20, 20 and 4 votes are lacking, so 22 votes are 10, 10 and 2."""
    rng, own, drawn = np.random.default_rng(1), np.zeros(4, int), []
    args = {
        "taken": np.array([5, 10, 20, 0]),
        "wanted": np.array([25, 30, 24, 90]),
        "eligible": np.array([True, True, True, False]),
    }
    for _ in range(22):
        index, _ = pairing.choose_pair(rng, "active", own=own, **args)
        own[index] += 1
        drawn.append(index)
    assert own.tolist() == [10, 10, 2, 0]
    assert max(len(list(run)) for _, run in itertools.groupby(drawn)) <= 2


def test_the_remaining_votes_are_shared_out_by_weight_and_none_is_lost():
    taken = np.array([10, 0, 30])
    votes = pairing.allotted(taken, 100, np.array([3.0, 1.0, 0.0]), 0.3)
    assert (votes - taken).tolist() == [62, 28, 10]  # 70 by weight, 30 evenly; rounded
    assert pairing.allotted(taken, 7, np.zeros(3), 0.3).sum() == 47


def test_nothing_eligible_is_none():
    none = {"taken": np.zeros(2, int), "eligible": np.zeros(2, bool)}
    assert pairing.choose_pair(np.random.default_rng(0), "balanced", own=np.zeros(2, int), **none) is None
    assert pairing.choose_scene(turn=np.zeros(2), begin=0.0, **none) is None


def test_pairs_go_through_all_prompts_and_the_totals_of_the_prompts_stay_even():
    scenes = [(f"p{i:02d}", 0) for i in range(30)]
    turns = pairing.shuffled_turns(scenes, 7)
    assert sorted(turns.values()) == pytest.approx(np.arange(30) / 30)
    assert list(turns.values()) != sorted(turns.values())
    turn = np.array([turns[scene] for scene in scenes])
    taken = np.zeros((6, 30), int)
    for vote in range(6 * 47):
        pair = vote % 6
        scene = pairing.choose_scene(taken=taken[pair], eligible=np.ones(30, bool), turn=turn, begin=pair / 6)
        taken[pair, scene] += 1
        assert np.ptp(taken[pair]) <= 1
        assert np.ptp(taken.sum(axis=0)) <= 2
    seen = np.ones(30, bool)
    seen[:29] = False
    assert pairing.choose_scene(taken=taken[0], eligible=seen, turn=turn, begin=0.0) == 29


@pytest.mark.parametrize(("lean", "swapped"), [(3, True), (-1, False)])
def test_sides_go_against_the_lean(lean, swapped):
    assert pairing.swap_sides(np.random.default_rng(0), lean) is swapped


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


MEAN = np.array([0.6, 0.5, 0.0, -2.0])
COVARIANCE = np.diag([0.02, 0.03, 0.02, 0.05])
FIRST, SECOND = np.triu_indices(4, 1)


def _weights(target, chosen=-1):
    rng = np.random.default_rng(0)
    weights = pairing.target_weights(target, MEAN, COVARIANCE, FIRST, SECOND, chosen, rng)
    return dict(zip(zip(FIRST.tolist(), SECOND.tolist(), strict=True), weights.tolist(), strict=True))


def test_the_first_place_needs_votes_on_the_leader_and_who_may_be_first():
    """Oracle: how often normal draws put the other one first."""
    drawn = np.random.default_rng(1).multivariate_normal(MEAN, COVARIANCE, 200_000).argmax(axis=1)
    weights = _weights("first")
    for other in (1, 2, 3):
        assert weights[0, other] == pytest.approx(np.mean(drawn == other), abs=0.07)
    assert weights[1, 2] == weights[2, 3] == 0


def test_votes_about_the_chosen_are_on_pairs_with_it_that_may_stand_the_wrong_way_round():
    """Oracle: how often normal draws put the two the other way round."""
    drawn = np.random.default_rng(1).multivariate_normal(MEAN, COVARIANCE, 200_000)
    for (a, b), weight in _weights("chosen", 2).items():
        expected = np.mean(drawn[:, a] < drawn[:, b]) if 2 in (a, b) else 0.0
        assert weight == pytest.approx(expected, abs=0.005)
