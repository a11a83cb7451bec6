"""What each quality rule changes, against odds counted by hand."""

import math
from dataclasses import replace

import pytest

from bench.ratings.rate import Options, rate
from bench.ratings.vote_table import code_battles
from bench.records import Battle

QUICK = Options(bootstrap=0, shuffles=0, position=False)


def battles(rater, a_wins, b_wins, rules="", **columns):
    one = Battle(left="a", right="b", outcome="left", rater=rater, question="quality", **columns)
    one = replace(one, rules=rules, excluded="careless" if rules else "")
    return [replace(one, prompt_id=f"p{i % 4}") for i in range(a_wins)] + [
        replace(one, outcome="right", prompt_id=f"p{i % 4}") for i in range(b_wins)
    ]


@pytest.fixture(scope="module")
def block():
    rows = battles("r0", 15, 5) + battles("r1", 15, 5)
    rows += battles("fast", 0, 20, "speed") + battles("coin", 4, 16, "checks")
    rows += battles("both", 6, 24, "checks,speed")
    rows += [replace(row, excluded="withdrawn", rules="") for row in battles("gone", 40, 0)]
    rows += [replace(row, kind="check") for row in battles("fast", 9, 0, "speed")]
    table = code_battles(rows, ("checks", "speed", "side"))
    return rate(table, options=QUICK).questions["quality"]


def gap(rows):
    rating = {row.contender: row.rating for row in rows}
    return rating["a"] - rating["b"]


def test_the_rating_without_a_rule_is_the_odds_with_the_votes_it_excludes(block):
    odds = {"checks": 34 / 26, "speed": 30 / 30, "side": 30 / 10, "all": 40 / 70}
    assert gap(block.ratings) == pytest.approx(400 * math.log10(3))
    for rule, ratio in odds.items():
        assert gap(block.without_rule[rule].estimates.ratings) == pytest.approx(
            400 * math.log10(ratio), abs=1e-6
        )


def test_it_says_how_many_raters_and_votes_each_rule_alone_excludes(block):
    counts = {rule: (effect.raters, effect.votes) for rule, effect in block.without_rule.items()}
    assert counts == {"checks": (1, 20), "speed": (1, 20), "side": (0, 0), "all": (3, 70)}
    assert block.without_rule["all"].estimates.n == 40 + 70


def test_what_a_rule_excludes_stays_out_of_the_rating_and_other_questions(block):
    other = [replace(row, question="alignment") for row in battles("r0", 3, 3) + battles("r1", 3, 3)]
    table = code_battles([*other, *battles("r0", 3, 1), *battles("r1", 1, 3), *battles("x", 0, 9, "side")])
    questions = rate(table, options=QUICK).questions
    assert questions["alignment"].without_rule["side"].votes == 0
    assert gap(questions["alignment"].without_rule["side"].estimates.ratings) == pytest.approx(0, abs=1e-6)
    assert questions["overall"].without_rule["side"].votes == 9


def test_files_without_rules_have_no_such_rows():
    block = rate(code_battles(battles("r0", 3, 2) + battles("r1", 3, 2)), options=QUICK).questions["quality"]
    assert block.without_rule == {}


def test_weights_of_raters_are_made_anew_with_those_who_come_back():
    rows = battles("r0", 30, 10) + battles("r1", 1, 1) + battles("x", 1, 3, "side")
    effect = rate(code_battles(rows), options=replace(QUICK, weights="raters")).questions["quality"]
    shares = (0.75 + 0.5 + 0.25) / 3
    found = gap(effect.without_rule["side"].estimates.ratings)
    assert found == pytest.approx(400 * math.log10(shares / (1 - shares)), abs=1e-6)
