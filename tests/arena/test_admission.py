"""Who may vote."""

import pytest

from arena import admission
from arena.admission import Refused
from arena.db import raters as register
from arena.db import schema
from arena.db.assignments import VoteDatabase
from bench.errors import InputError
from tests.support.arena_desk import KEY, Clock, arrive, make_desk, vote_all
from tests.support.arena_study import make_study


def test_a_cookie_without_the_key_is_no_cookie():
    cookie = admission.seal(KEY, "abc")
    assert admission.unseal(KEY, cookie) == "abc"
    for forged in (
        "",
        "abc",
        "abc.",
        ".",
        cookie[:-1] + "0",
        "abd" + cookie[3:],
        admission.seal(bytes(32), "abc"),
        "ü.ü",
    ):
        assert admission.unseal(KEY, forged) is None or forged == cookie


def test_the_servers_key_is_generated_private_and_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("ARENA_KEY", raising=False)
    key = admission.server_key(tmp_path)
    assert len(key) == 32
    assert admission.server_key(tmp_path) == key
    assert (tmp_path / "arena.key").stat().st_mode & 0o077 == 0
    (tmp_path / "other").mkdir()
    assert admission.server_key(tmp_path / "other") != key
    monkeypatch.setenv("ARENA_KEY", "short")
    with pytest.raises(InputError, match="64 hex digits"):
        admission.server_key(tmp_path)


@pytest.fixture
def database(tmp_path):
    _, folder = make_study(tmp_path / "s")
    made = VoteDatabase(schema.sqlite_url(folder.votes_file), KEY)
    made.migrate()
    yield made
    made.close()


def test_an_invite_admits_as_often_as_it_says(database):
    (code,) = admission.create_invites(database, label="lab", count=1, uses=2)
    people = {admission.admit(database, {"invite": code}, now=0.0) for _ in range(2)}
    assert len(people) == 2
    with database.reading() as tx:
        assert {r.group_label for r in register.all_raters(tx.db)} == {"lab"}
    for wrong in (code, "guess", "' OR ''='"):
        with pytest.raises(Refused, match="bad_invite"):
            admission.admit(database, {"invite": wrong}, now=0.0)
    with pytest.raises(Refused, match="need_invite"):
        admission.admit(database, {}, now=0.0, invited_only=True)


def test_a_panel_participant_stays_one_rater_until_forgotten(database):
    link = {"PROLIFIC_PID": "5f00", "STUDY_ID": "s", "SESSION_ID": "t"}
    rater = admission.admit(database, link, now=0.0)
    assert admission.admit(database, link, now=1.0) == rater
    assert "5f00" not in rater
    assert admission.admit(database, {"workerId": "5f00", "hitId": "h"}, now=0.0) != rater
    with database.writing() as tx:
        assert register.forget(tx.db, "5f00") == 2
    assert admission.admit(database, link, now=2.0) != rater
    with database.reading() as tx:
        assert len(register.all_raters(tx.db)) == 3  # forgetting erases the name, not the votes


def test_a_look_at_a_task_that_is_not_accepted_makes_no_rater(database):
    link = {"assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE", "hitId": "h"}
    with pytest.raises(Refused, match="preview"):
        admission.admit(database, link, now=0.0)
    assert admission.admit(database, {**link, "workerId": "w", "assignmentId": "a"}, now=0.0)
    with database.reading() as tx:
        assert [r.group_label for r in register.all_raters(tx.db)] == ["mturk"]


def test_checks_and_repeats_come_at_their_rate_and_take_no_slot(tmp_path):
    desk = make_desk(tmp_path / "s", Clock(), votes_per_pair=40, attention_rate=0.2, repeat_rate=0.2)
    for _ in range(14):
        vote_all(desk, arrive(desk), "tie")
    with desk.database.reading() as tx:
        rows = list(tx.log())
        assert sum(r.kind == "vote" for r in rows) == sum(p.voted for p in tx.pairs())
    share = [sum(r.kind == kind for r in rows) / len(rows) for kind in ("check", "repeat")]
    assert abs(share[0] - 0.2) < 4 * (0.16 / len(rows)) ** 0.5
    assert 0.03 < share[1] < 0.25  # a repeat needs something old enough to repeat
    for check in (r for r in rows if r.kind == "check"):
        assert check.left == check.right
        changed = {"left": check.right_change, "right": check.left_change}[check.expected]
        assert changed == "degraded" if check.question == "quality" else changed.startswith("prompt:")
    for again in (r for r in rows if r.kind == "repeat"):
        before = next(r for r in rows if r.assignment_id == again.repeats)
        assert {again.left, again.right, again.prompt_id} == {before.left, before.right, before.prompt_id}
        assert again.rater_id == before.rater_id
    desk.database.close()


def test_a_rater_is_capped(tmp_path):
    desk = make_desk(tmp_path / "s", votes_per_pair=40, votes_per_rater=5)
    assert vote_all(desk, arrive(desk)) == 5
    desk.database.close()
