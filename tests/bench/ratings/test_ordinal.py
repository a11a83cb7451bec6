"""Seven points as ordered, and the position effect by arrangement: closed forms and an independent maximum."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize

from bench.errors import InputError
from bench.ratings.fits import SCALE, bradley_terry, count_votes
from bench.ratings.ordinal import seven_points
from bench.ratings.rate import Options, rate
from bench.ratings.vote_table import code_battles
from bench.records import Battle


def logit(p):
    return math.log(p / (1 - p))


def battles(counts, **more):
    """(left, right, point) → votes; one vote a rater and prompt, so that nothing is correlated."""
    rows = [(left, right, point) for (left, right, point), n in counts.items() for _ in range(n)]
    return [
        Battle(
            left=left,
            right=right,
            scale=point,
            rater=f"r{i}",
            prompt_id=f"p{i}",
            outcome="left" if point > 0 else "right" if point < 0 else "tie",
            **more,
        )
        for i, (left, right, point) in enumerate(rows)
    ]


def both_ways(counts):
    """Every pair also with its sides swapped: there is no position effect."""
    return counts | {(right, left, -point): n for (left, right, point), n in counts.items()}


def test_three_answers_of_two_contenders_have_a_closed_form():
    """Saturated: d = (logit P(y>0) + logit P(y>=0)) / 2, threshold half their distance."""
    counts = both_ways({("a", "b", 1): 50, ("a", "b", 0): 20, ("a", "b", -1): 30})
    found = seven_points(code_battles(battles(counts)))
    lead, threshold = (logit(0.5) + logit(0.7)) / 2, (logit(0.7) - logit(0.5)) / 2
    assert found.votes == (0, 0, 80, 40, 80, 0, 0)
    assert found.ratings[0].rating - found.ratings[1].rating == pytest.approx(SCALE * lead, abs=1e-4)
    assert found.thresholds == pytest.approx([SCALE * threshold], abs=1e-4)
    assert found.position == pytest.approx(0, abs=1e-8)
    assert [row.n for row in found.ratings] == [200, 200]


def random_counts(seed, points):
    rng = np.random.default_rng(seed)
    pairs = [(a, b) for a, b in product("abc", "abc") if a != b]
    return {(a, b, point): int(rng.integers(1, 12)) for a, b in pairs for point in points}


@pytest.mark.parametrize("points", [(3, 2, 1, 0, -1, -2, -3), (3, 1, -1, -3), (2, 0, -2)])
def test_the_fit_is_the_maximum_of_a_likelihood_written_down_again(points):
    """Points that nobody gave take no threshold; without ties the middle threshold is 0."""
    counts = random_counts(len(points), points)

    def cost(parameters):
        strength = dict(zip("abc", (*parameters[:2], -parameters[:2].sum()), strict=True))
        steps = np.cumsum(np.exp(parameters[3:]))
        edges = [*-steps[::-1], *([] if 0 in points else [0.0]), *steps]
        cuts = [math.inf, *reversed(edges), -math.inf]  # from the highest answer down
        total = 0.0
        for (a, b, point), n in counts.items():
            lead, place = strength[a] - strength[b] + parameters[2], points.index(point)
            above, below = (1 / (1 + np.exp(cut - lead)) for cut in cuts[place : place + 2])
            total -= n * np.log(below - above)
        return total

    free = len([p for p in points if p > 0]) - (0 not in points)
    with np.errstate(over="ignore"):
        other = minimize(cost, np.zeros(3 + free), method="BFGS", options={"gtol": 1e-8})
    found = seven_points(code_battles(battles(counts)))
    ratings = {row.contender: row.rating for row in found.ratings}
    expected = [*other.x[:2], -other.x[:2].sum()]
    assert [ratings[name] for name in "abc"] == pytest.approx([1000 + SCALE * s for s in expected], abs=0.01)
    assert found.position == pytest.approx(other.x[2], abs=1e-4)
    assert found.thresholds == pytest.approx(SCALE * np.cumsum(np.exp(other.x[3:])), abs=0.05)


def test_swapping_the_sides_changes_the_sign_of_position_alone():
    counts = random_counts(7, (3, 2, 1, 0, -1, -2, -3))
    one = seven_points(code_battles(battles(counts)))
    other = seven_points(code_battles(battles({(b, a, -point): n for (a, b, point), n in counts.items()})))
    assert other.position == pytest.approx(-one.position, abs=1e-8)
    for mine, theirs in zip(one.ratings, other.ratings, strict=True):
        assert (mine.contender, mine.rating) == (theirs.contender, pytest.approx(theirs.rating, abs=1e-5))


def test_errors_of_votes_that_stand_alone_are_those_of_the_curvature():
    """Oracle: the second difference of the likelihood of two contenders with answers at three points, in closed form:
    the variance of a mean of two logits of multinomial shares (delta method)."""
    counts = both_ways({("a", "b", 1): 500, ("a", "b", 0): 200, ("a", "b", -1): 300})
    found = seven_points(code_battles([*battles(counts)]), anchor=1)
    n, win, tie, loss = 2000, 0.5, 0.2, 0.3
    # d = (logit(win) + logit(win + tie)) / 2 as a function of the shares
    slopes = np.array([1 / (win * (1 - win)) + 1 / (loss * (1 - loss)), 1 / (loss * (1 - loss)), 0.0]) / 2
    shares = np.array([win, tie, loss])
    variance = (slopes**2 @ shares - (slopes @ shares) ** 2) / n
    row = next(row for row in found.ratings if row.contender == "a")
    assert (row.high - row.low) / 2 == pytest.approx(1.96 * SCALE * math.sqrt(variance), rel=0.02)


def test_raters_who_vote_alike_widen_the_interval():
    alone = battles(both_ways({("a", "b", 2): 60, ("a", "b", 1): 40, ("a", "b", 0): 20, ("a", "b", -1): 80}))
    cloned = [Battle(**{**_fields(b), "rater": f"r{i // 8}"}) for i, b in enumerate(alone)]
    width = [row.high - row.low for row in seven_points(code_battles(alone)).ratings]
    wider = [row.high - row.low for row in seven_points(code_battles(cloned)).ratings]
    assert wider[0] > 1.5 * width[0]


def _fields(battle):
    return {name: getattr(battle, name) for name in battle.__dataclass_fields__}


def test_answers_of_one_distance_and_infinite_strengths_have_no_ordered_fit():
    table = code_battles(battles(both_ways({("a", "b", 1): 9, ("a", "b", -1): 3})))
    assert "one distance only" in seven_points(table).note
    table = code_battles(battles(both_ways({("a", "b", 1): 9, ("a", "b", 3): 3})))
    assert "never lost" in seven_points(table).note
    assert seven_points(code_battles([Battle(left="a", right="b", outcome="left")])) is None


def test_the_document_holds_the_ordered_and_the_collapsed_analysis():
    """Collapsed: Bradley–Terry on left and right, which is what forced answers at two distances give."""
    counts = random_counts(3, (2, 1, -1, -2))
    table = code_battles(battles(counts, question="hands"))
    block = rate(table, options=Options(bootstrap=0, shuffles=0)).questions["hands"]
    assert block.seven_points.n == len(table) == block.n
    plain = bradley_terry(table.contenders, count_votes(table), position=True)
    collapsed = {row.contender: row.rating for row in block.ratings}
    assert [collapsed[name] for name in "abc"] == pytest.approx(1000 + SCALE * plain.strength, abs=1e-6)


def test_the_position_effect_of_each_arrangement_is_its_own():
    """Two contenders shown both ways: the effect is the mean of the two logits of left."""
    beside = {("a", "b", 1): 70, ("a", "b", -1): 30, ("b", "a", 1): 40, ("b", "a", -1): 60}
    stacked = {("a", "b", 1): 50, ("a", "b", -1): 50, ("b", "a", 1): 35, ("b", "a", -1): 65}
    rows = battles(beside, arrangement="beside") + battles(stacked, arrangement="stacked")
    block = rate(
        code_battles([*rows, *battles({("a", "b", 1): 3})]), options=Options(bootstrap=0, shuffles=0)
    )
    effects = block.questions["overall"].position_by_arrangement
    assert set(effects) == {"beside", "stacked"}
    assert effects["beside"].logits == pytest.approx((logit(0.7) + logit(0.4)) / 2, abs=1e-8)
    assert effects["stacked"].logits == pytest.approx((logit(0.5) + logit(0.35)) / 2, abs=1e-8)
    assert (effects["beside"].left_rate, effects["stacked"].n) == (pytest.approx(0.55), 200)
    assert effects["beside"].low < effects["beside"].logits < effects["beside"].high


def test_votes_that_allow_no_fit_of_their_own_leave_the_share():
    rows = battles({("a", "b", 1): 4}, arrangement="stacked")
    rows += battles(
        {("a", "b", 1): 4, ("a", "b", -1): 5, ("b", "a", 1): 5, ("b", "a", -1): 4}, arrangement="beside"
    )
    effects = rate(code_battles(rows), options=Options(bootstrap=0, shuffles=0)).questions["overall"]
    stacked = effects.position_by_arrangement["stacked"]
    assert (stacked.logits, stacked.left_rate, stacked.n) == (None, 1.0, 4)
    assert effects.position_by_arrangement["beside"].logits is not None


def test_a_rating_document_without_these_fields_is_read():
    from bench.ratings.document import read_questions

    row = {"contender": "a", "rating": 1000.0}
    old = {"questions": {"overall": {"ratings": [row]}}}
    assert read_questions(old, "ratings.json")["overall"].position_by_arrangement == {}
    with pytest.raises(InputError):
        read_questions({"questions": {"overall": {"ratings": [{**row, "rating": "x"}]}}}, "ratings.json")
