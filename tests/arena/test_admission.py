"""Who may vote."""

import hashlib
import hmac

import pytest
from itsdangerous import URLSafeSerializer

from arena import admission
from arena.admission import Gate, Refused, Session
from arena.db import raters as register
from arena.db.database import VoteDatabase
from bench.errors import InputError
from bench.study.file import Panel
from tests.support.arena_desk import KEY, Clock, arrive, make_desk, vote_all


def test_a_cookie_without_the_key_is_no_cookie():
    session = Session(rater_id="abc", secret="s3cret")
    cookie = admission.seal(KEY, session)
    assert admission.unseal(KEY, cookie) == session
    for forged in (
        "",
        "abc",
        "abc.",
        ".",
        cookie[:-1],
        "X" + cookie[1:],
        admission.seal(bytes(32), session),
        "ü.ü",
        URLSafeSerializer(KEY, salt="another").dumps(["abc", "s3cret"]),
    ):
        assert admission.unseal(KEY, forged) is None, forged


def test_a_cookie_of_the_released_version_lets_its_rater_go_on(database):
    """`abc.` and HMAC-SHA256 of `cookie abc`, as revision 0002 sealed it; computed here, not by our code."""
    old = "abc." + hmac.new(KEY, b"cookie abc", hashlib.sha256).hexdigest()
    session = admission.unseal(KEY, old)
    assert session == Session(rater_id="abc", secret="")
    with database.writing() as tx:
        register.add_rater(tx.db, "abc", now=0.0)
    assert admission.admit(database, {}, now=1.0, session=session) == session
    # Somebody new never has such a session: the old cookie of a rater with a session of the new kind is refused.
    new = admission.admit(database, {}, now=1.0)
    with database.reading() as tx:
        rater = register.rater(tx.db, new.rater_id)
    assert admission.is_current(rater, new)
    assert not admission.is_current(rater, Session(rater_id=new.rater_id, secret=""))


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
def database(database_url):
    made = VoteDatabase(database_url, KEY)
    made.migrate()
    yield made
    made.close()


def test_an_invite_admits_as_often_as_it_says(database):
    (code,) = admission.create_invites(database, label="lab", count=1, uses=2)
    sessions = [admission.admit(database, {"invite": code}, now=0.0) for _ in range(2)]
    assert len({session.rater_id for session in sessions}) == 2
    # Coming back by the same link in the same browser uses nothing up, and is the same rater.
    assert admission.admit(database, {"invite": code}, now=1.0, session=sessions[0]) == sessions[0]
    with database.reading() as tx:
        assert {r.group_label for r in register.all_raters(tx.db)} == {"lab"}
    for wrong in (code, "guess", "' OR ''='"):
        with pytest.raises(Refused, match="bad_invite"):
            admission.admit(database, {"invite": wrong}, now=0.0)
    with pytest.raises(Refused, match="need_invite"):
        admission.admit(database, {}, now=0.0, gate=Gate(invited_only=True))


LINK = {"PROLIFIC_PID": "5f00", "STUDY_ID": "s", "SESSION_ID": "t"}


def test_a_panel_participant_stays_one_rater_until_forgotten(database):
    session = admission.admit(database, LINK, now=0.0)
    assert admission.admit(database, LINK, now=1.0, session=session) == session
    assert "5f00" not in session.rater_id
    other = admission.admit(database, {"workerId": "5f00", "hitId": "h"}, now=0.0)
    assert other.rater_id != session.rater_id
    with database.writing() as tx:
        assert register.forget(tx.db, "5f00") == (2, ["mturk5f00", "prolific5f00"])
    assert admission.admit(database, LINK, now=2.0).rater_id != session.rater_id
    with database.reading() as tx:
        assert len(register.all_raters(tx.db)) == 3  # forgetting erases the name, not the votes


def test_the_same_panel_id_from_another_browser_gets_nothing_of_the_first_person(database):
    session = admission.admit(database, LINK, now=0.0)
    somebody = admission.admit(database, {}, now=0.0)
    for stranger in (None, somebody, Session(rater_id=session.rater_id, secret="guess")):
        with pytest.raises(Refused, match="session_elsewhere"):
            admission.admit(database, LINK, now=1.0, session=stranger)


def test_a_one_time_code_moves_a_rater_and_ends_the_session_left_behind(database):
    first = admission.admit(database, LINK, now=0.0)
    code = admission.move_code(database, first.rater_id, now=10.0)
    second = admission.admit(database, {"move": code}, now=11.0)
    assert second.rater_id == first.rater_id
    assert admission.admit(database, LINK, now=12.0, session=second) == second
    with pytest.raises(Refused, match="session_elsewhere"):
        admission.admit(database, LINK, now=12.0, session=first)
    late = admission.move_code(database, first.rater_id, now=20.0)
    for wrong in (code, "guess", late):
        with pytest.raises(Refused, match="bad_code"):
            admission.admit(database, {"move": wrong}, now=20.0 + admission.MOVE_SECONDS + 1)


def test_the_gate_lets_in_the_studys_own_links_and_nobody_by_a_made_up_id(database):
    panel = Panel(studies=("s",), address="https://arena.test/")
    gate = Gate(invited_only=True, panel=panel)
    with database.writing() as tx:
        register.set_listed(tx.db, "prolific", ["5f00", "5f01"], "in")
        register.set_listed(tx.db, "prolific", ["5f01"], "out")  # moves from one list to the other
    refused = {
        "unverified": {**LINK, "PROLIFIC_PID": "x"},
        "wrong_study": {**LINK, "STUDY_ID": "another"},
        "listed_out": {**LINK, "PROLIFIC_PID": "5f01"},
    }
    for code, link in refused.items():
        with pytest.raises(Refused, match=code):
            admission.admit(database, link, now=0.0, gate=gate)
    with pytest.raises(Refused, match="wrong_study"):  # no study of the panel is named: no panel link passes
        admission.admit(database, LINK, now=0.0, gate=Gate(invited_only=True))
    assert admission.admit(database, LINK, now=0.0, gate=gate)
    with pytest.raises(Refused, match="wrong_study"):  # the study's ids are asked for without the gate, too
        admission.admit(database, refused["wrong_study"], now=0.0, gate=Gate(panel=panel))
    with database.reading() as tx:
        assert [(r.participant, r.verified) for r in register.panel_rows(tx.db)] == [("5f00", "listed")]


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
