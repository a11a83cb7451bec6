"""A check that a person set aside, what raters declared, and what the administrator sees of pace, cost and open pairs."""

import pytest

from arena.db import raters as register
from arena.db.proof import verify_database
from arena.quality import rater_quality
from arena.results.declared import REST, declared_counts
from arena.results.export import collect
from arena.web import admin_views
from arena.web.admin_checks import check_rows, failed_checks_page, set_aside
from bench.errors import InputError
from tests.support.arena_desk import Clock, arrive, log, make_desk, vote_all

AGE = {"text": "Age?", "options": {"young": "18 to 39", "middle": "40 to 59", "old": "60 or more"}}


@pytest.fixture
def make(tmp_path, database_url):
    made = []

    def desk(**settings):
        made.append(make_desk(tmp_path / "s", Clock(), database_url, **settings))
        return made[-1]

    yield desk
    for one in made:
        one.database.close()


def fail_checks(desk, rater, most=30):
    """Answer pairs, checks wrongly, until the rater is handed no more."""
    for number in range(most):
        held = desk.hand(rater).open
        if not held:
            return
        wrong = {"left": "right", "right": "left", "": ("left", "tie", "right")[number % 3]}[held[0].expected]
        desk.clock.now += 5
        desk.vote(rater, held[0].token, wrong, 4.0)


def test_a_check_that_a_person_sets_aside_brings_the_raters_votes_back(make):
    desk = make(exclude=("checks",), attention_rate=0.25, votes_per_pair=30)
    rater = arrive(desk)
    fail_checks(desk, rater)
    assert desk.hand(rater).stage == "screened"
    assert {row.excluded for row in collect(desk.database, desk.prompts, desk.exclusion)[0]} == {
        "failed attention checks"
    }
    checks = check_rows(desk)
    assert [row["assignment_id"] for row in checks] == [
        row.assignment_id for row in reversed(log(desk)) if row.kind == "check"
    ]
    assert failed_checks_page(desk).count("<img") == 2 * len(checks)
    vote = next(row for row in log(desk) if row.kind == "vote")
    with pytest.raises(InputError, match="no attention check"):
        desk.set_check_aside(vote.assignment_id, "")
    answers = [set_aside(desk, str(row["assignment_id"]), "images alike") for row in checks]
    assert "count again" in " ".join(answers)
    assert desk.hand(rater).stage == "vote"
    assert not any(row.excluded for row in collect(desk.database, desk.prompts, desk.exclusion)[0])
    assert check_rows(desk) == []
    with desk.database.reading() as tx:
        kept = rater_quality(tx.log(), {}, {}, desk.exclusion, register.checks_set_aside(tx.db))[0]
    assert (kept.checks_failed, kept.excluded) == (0, "")
    verify_database(desk.database)


def test_declared_answers_are_sums_of_five_raters_or_more_whose_votes_count(make):
    desk = make(demographics={"age": AGE}, votes_per_pair=200)
    for number in range(14):
        rater = arrive(desk)
        age = "young" if number < 6 else "middle" if number < 10 else "old" if number < 12 else ""
        with desk.database.writing() as tx:
            register.set_entry(tx.db, rater, ("1", "a" * 64), {"age": age} if age else {}, "en")
        if number != 13:  # the last one never votes
            vote_all(desk, rater, limit=1)
    excluded = {row.rater_id for row in log(desk)[:1]}
    assert declared_counts(desk.database, desk.settings, excluded) == {"age": {"young": 5, REST: 7}}
    assert declared_counts(desk.database, desk.settings, ()) == {"age": {"young": 6, REST: 7}}


def test_the_administrator_sees_pace_cost_and_what_is_open(make):
    desk = make(votes_per_pair=60, votes_per_rater=4, panel={"reward": 2.0, "fee": 0.5}, questions=("quality",))
    for _ in range(2):
        vote_all(desk, arrive(desk))
    vote_all(desk, arrive(desk), limit=2)
    desk.clock.now += 60
    page = admin_views.progress(desk)
    assert "1.0 answers a minute over the last 10 minutes, by 3 raters" in page
    assert "Completed: 2 raters" in page
    assert "Cost so far: 6.00 (2 completed at 2.00, panel's fee 50%" in page
    desk.clock.now += 600
    assert "0.0 answers a minute" in admin_views.progress(desk)
    rows = collect(desk.database, desk.prompts, desk.exclusion)[0]
    assert "Still open" in admin_views.leaderboard(desk, rows)
