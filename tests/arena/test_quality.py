"""Who is believed: each rule against its closed form, its cost to careful raters, and what evades it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from arena import quality
from arena.db.rows import Logged
from arena.db.vote_log import battles
from arena.next_assignment import RECHECK, check_due
from arena.quality import CHECKS, RULES, SIDE, SPEED, Exclusion, Rule
from bench.study.file import Arena

ALL = Exclusion()


def row(seq, answer="left", **columns):
    given = {"kind": "vote", "created": 10.0 * seq, "left": "a", "right": "b", "rater_id": "r", **columns}
    return Logged(
        seq=seq, assignment_id=seq, revision=0, answer=answer, seconds=None, hash="",
        number=seq, question="quality", prompt_id="p", replicate=0,
        probability=1.0, prompt_probability=1.0, issued=0.0, group_label="", simulated=False, **given,
    )  # fmt: skip


def check(seq, passed):
    return row(seq, "right" if passed else "left", kind="check", expected="right")


def judged(rows, unverified=None, standings=None, exclusion=ALL):
    return quality.rater_quality(rows, unverified or {}, standings or {}, exclusion)[0]


def alternating(n, **columns):
    return [row(i, "left" if i % 2 else "right", **columns) for i in range(1, n + 1)]


@pytest.mark.parametrize(("failed", "passed"), [(1, 0), (2, 0), (2, 3), (0, 5), (3, 9)])
def test_evidence_is_the_ratio_of_two_binomial_likelihoods(failed, passed):
    found = CHECKS.evidence([True] * failed + [False] * passed)
    ratio = (0.5 / 0.03) ** failed * (0.5 / 0.97) ** passed
    assert math.exp(found.now) == pytest.approx(ratio)
    assert math.exp(found.high) == pytest.approx(max(1, (0.5 / 0.03) ** failed))


def test_two_failures_of_two_checks_exclude_and_one_slip_never_does():
    assert judged([*alternating(6), check(7, False), check(8, False)]).excluded == "failed attention checks"
    assert judged([*alternating(6), check(7, False), *(check(i, True) for i in range(8, 12))]).excluded == ""
    missing = judged(alternating(6), {"r": 5})
    assert (missing.excluded, missing.verdict, missing.checks_unverified) == ("", "unverified", 5)


def test_a_rater_is_verified_by_as_many_passed_checks_as_a_coin_seldom_passes():
    # 0.5 / 0.97 to the n-th is at most 0.05 from n = 5 on; a coin passes five with probability 1/32.
    assert [judged([check(i, True) for i in range(1, n + 1)]).verified for n in (4, 5)] == [False, True]


def test_the_threshold_itself_excludes():
    rule = Rule(reason="", careful=0.25, careless=0.5, share=1.0)
    at = rule.evidence([True, True])  # a ratio of exactly 4
    assert rule.excludes(at, 0.25)
    assert not rule.excludes(at, 0.2499)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.reason)
def test_a_careful_rater_is_seldom_excluded_however_often_one_looks(rule):
    """At the careful rate itself, 20,000 raters of 300 events; Ville's bound, by cumulative sums of our own."""
    rng = np.random.default_rng(1)
    events = rng.random((20000, 300)) < rule.careful
    yes, no = math.log(rule.careless / rule.careful), math.log((1 - rule.careless) / (1 - rule.careful))
    one = np.where(events, yes, no).cumsum(1)
    if rule.two_sided:
        one = np.logaddexp(one, np.where(events, no, yes).cumsum(1)) - math.log(2)
    level = 0.2  # high enough to be measured
    share = (one.max(1) >= -math.log(rule.share * level)).mean()
    assert share <= rule.share * level
    for k in range(50):
        assert rule.evidence(events[k]).high == pytest.approx(max(0.0, one[k].max()))
    assert sum(one.share for one in RULES.values()) == pytest.approx(1)


def test_ties_alone_never_exclude():
    honest = [row(i, "tie") for i in range(1, 201)]
    found = judged([*honest, *(check(200 + i, True) for i in range(1, 6))])
    assert (found.verdict, found.ties, found.same_side) == ("verified", 1.0, 0.0)


def test_one_side_only_is_named_and_a_preference_for_it_is_not():
    assert judged([row(i) for i in range(1, 21)]).excluded == "always the same side"
    assert judged([row(i, "right") for i in range(1, 21)]).excluded == "always the same side"
    three_of_five = [row(i, "left" if i % 5 < 3 else "right") for i in range(1, 201)]
    assert judged(three_of_five).excluded == ""


def test_leaving_out_the_browsers_seconds_does_not_evade_the_speed_rule():
    """Every pair is answered 0.2 s after the one before; the browser reports nothing."""
    bot = [replace(one, created=0.2 * one.seq) for one in alternating(12)]
    assert judged(bot).excluded == "answered too fast"
    assert judged(bot).median_seconds == pytest.approx(0.2)
    slow = [replace(one, created=3.0 * one.seq) for one in alternating(12)]
    assert judged(slow).excluded == ""


def test_time_counts_from_the_hand_out_or_the_last_answer_whichever_is_later():
    rows = [row(1, created=5.0), row(2, created=6.0), row(3, created=9.0)]
    rows[2] = replace(rows[2], issued=8.5)
    other = replace(row(4, created=9.25), rater_id="other", issued=9.0)
    assert quality.server_seconds([*rows, other]) == {1: 5.0, 2: 1.0, 3: 0.5, 4: 0.25}


def test_rules_that_the_study_leaves_out_exclude_nobody_and_a_person_overrules_them():
    same = [row(i) for i in range(1, 31)]
    assert judged(same, exclusion=Exclusion(rules=("checks", "speed"))).excluded == ""
    assert judged(same, standings={"r": "kept"}).excluded == ""
    assert judged(alternating(3), standings={"r": "withdrawn"}).excluded == "withdrawn by the rater"
    assert not judged(alternating(3), standings={"r": "withdrawn"}).careless


def test_a_repeat_is_the_same_when_the_winner_is_whatever_the_side():
    first = row(1, "left", left="a", right="b")
    same = row(2, "right", kind="repeat", repeats=1, left="b", right="a")
    other = row(3, "left", kind="repeat", repeats=1, left="b", right="a")
    found = judged([first, same, other])
    assert (found.repeats, found.repeats_same) == (2, 1)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.5])
def test_one_check_stands_in_every_block_and_the_first_comes_early(rate):
    size = round(1 / rate)
    for rater in map(str, range(40)):
        due = [n for n in range(10 * size) if check_due(Arena(attention_rate=rate), rater, n, [], False)]
        assert [n // size for n in due] == list(range(10))
        assert 1 <= due[0] <= 5
    places = {
        n % 20
        for r in range(200)
        for n in range(20, 40)
        if check_due(Arena(attention_rate=0.05), str(r), n, [], False)
    }
    assert places == set(range(20))


def test_checks_follow_closely_while_they_speak_against_the_rater():
    settings = Arena(attention_rate=0.05)
    for rater in map(str, range(40)):
        first = next(n for n in range(20) if check_due(settings, rater, n, [], False))
        again = [n for n in range(first + 1, 60) if check_due(settings, rater, n, [(first, True)], False)]
        assert 2 <= again[0] - first <= RECHECK or again[0] // 20 == 1
        assert not check_due(settings, rater, first + RECHECK, [(first, True)], True) or first + RECHECK >= 20
        # Passed often enough afterwards, and they are as rare as before.
        cleared = [(first, True), *((first + 2 + i, False) for i in range(5))]
        assert CHECKS.evidence(failed for _, failed in cleared).now < 0
        later = [n for n in range(20, 60) if check_due(settings, rater, n, cleared, False)]
        assert [n // 20 for n in later] == [1, 2]


def test_rules_are_calibrated_for_what_they_say():
    assert (SPEED.careful, SIDE.careful, CHECKS.careful) == (0.05, 0.55, 0.03)
    # Shortest series that exclude at the default of 1%: 2 failed checks, 3 fast answers, 13 on one side.
    for rule, shortest in ((CHECKS, 2), (SPEED, 3), (SIDE, 13)):
        lengths = [n for n in range(1, 30) if rule.excludes(rule.evidence([True] * n), 0.01)]
        assert lengths[0] == shortest, rule.reason


def test_a_battle_names_the_rules_that_alone_exclude_it():
    fast_and_careless = [row(1, created=0.1), row(2, created=0.2), *(check(i, False) for i in (3, 4))]
    fast_and_careless = [replace(one, created=one.seq / 10) for one in fast_and_careless]
    assert judged(fast_and_careless).rules == ("checks", "speed")
    assert judged(fast_and_careless, standings={"r": "withdrawn"}).rules == ()
    assert judged(fast_and_careless, standings={"r": "kept"}).rules == ()
    assert judged(fast_and_careless, exclusion=Exclusion(rules=("speed",))).rules == ("speed",)
    about = judged(fast_and_careless)
    named = battles(fast_and_careless, {}, {"r": about.excluded}, {2}, {"r": about.rules})
    assert [one.rules for one in named] == ["checks,speed", "", "checks,speed", "checks,speed"]


def test_boundaries_of_the_rules_lie_where_they_are_said_to(monkeypatch):
    monkeypatch.setattr(quality, "FAST_SECONDS", 0.5)  # as all of these times, exact in binary
    assert judged([row(i, "left" if i % 2 else "right", created=i / 2) for i in range(1, 40)]).excluded == ""
    assert judged([row(i, "left" if i % 2 else "right", created=i / 4) for i in range(1, 40)]).rules == (
        "speed",
    )
    even = Rule(reason="", careful=0.25, careless=0.75, share=1.0)  # one failed and one passed weigh nothing
    assert even.evidence([True, False]).now == 0
    monkeypatch.setattr("arena.next_assignment.CHECKS", even)
    blocks = {n for n in range(200) if check_due(Arena(attention_rate=0.02), "r", n, [], False)}
    after = {
        n for n in range(200) if check_due(Arena(attention_rate=0.02), "r", n, [(0, True), (1, False)], False)
    }
    assert after == blocks, "evidence of exactly nothing calls for no further check"
    monkeypatch.setattr(quality, "CHECKS", even)
    monkeypatch.setattr(quality, "COIN_VERIFIED", 1 / 3)
    assert judged([check(1, True)]).verified, "as seldom as the limit is seldom enough"
