"""A panel study from its links to the files that pay for it, simulated, on both databases."""

import csv
import io

import pytest
from fastapi.testclient import TestClient

from arena.admission import Gate
from arena.db import raters as register
from arena.results.participants import participants, payment_file
from arena.db.proof import verify_database
from arena.web.app import create_app
from bench.errors import InputError
from bench.study.file import Panel
from tests.support.arena_desk import KEY, POST, Clock, make_desk

LIMIT = 12


@pytest.fixture
def desk(tmp_path, database_url):
    made = make_desk(
        tmp_path / "s", Clock(), database_url,
        votes_per_pair=15, votes_per_rater=LIMIT, questions=("quality",), attention_rate=0.2,
        exclude=("checks", "speed", "side"), completion_code="DONE",
        return_link="https://app.panel.test/complete?cc={code}",
        codes={"screened_out": "OUT", "full": "FULL"}, panel={"studies": ("s1", "hit1")},
    )  # fmt: skip
    yield made
    made.database.close()


class Person:
    """Somebody from a panel, in a browser of their own, answering at a person's pace."""

    def __init__(self, desk, app, link, care=True):
        self.desk, self.care = desk, care
        self.client = TestClient(app, base_url="http://arena.test")
        body = {"consent": True, "parameters": link}
        self.reply = self.client.post("/api/start", json=body, headers=POST)
        self.state = self.reply.json().get("state")

    def answer(self, most=10**6):
        given = 0
        while given < most and self.state["stage"] == "vote":
            self.desk.clock.now += 4
            token = self.state["ballots"][0]["token"]
            with self.desk.database.reading() as tx:
                one = tx.by_token(token)
            right = one.expected or ("left", "right", "tie")[(one.number * 7 + given) % 3]
            wrong = {"left": "right", "right": "left"}.get(one.expected, right)
            body = {"token": token, "answer": right if self.care else wrong, "seconds": 3.5}
            self.state = self.client.post("/api/vote", json=body, headers=POST).json()["state"]
            given += 1
        return given


def prolific(who, study="s1"):
    return {"PROLIFIC_PID": who, "STUDY_ID": study, "SESSION_ID": f"session-{who}"}


def test_a_panel_study_from_the_link_to_the_payment_files(desk):
    """Simulated. 5 careful and one careless from Prolific, one from MTurk, one who leaves, one who returns the
    submission, and strangers who are not let in; then everybody is told, and paid by file."""
    ids = ["p1", "p2", "p3", "p4", "p5", "careless", "gone", "back"]
    with desk.database.writing() as tx:
        register.set_listed(tx.db, "prolific", ids, "in")
        register.set_listed(tx.db, "mturk", ["W1"], "in")
    gate = Gate(invited_only=True, panel=Panel(studies=("s1", "hit1")))
    app = create_app(desk, KEY, gate=gate)
    refused = [Person(desk, app, link).reply for link in (prolific("x"), prolific("p1", "other"), {})]
    assert [reply.json()["error"] for reply in refused] == ["unverified", "wrong_study", "need_invite"]
    people = {who: Person(desk, app, prolific(who), care=who != "careless") for who in ids}
    people["W1"] = Person(desk, app, {"workerId": "W1", "hitId": "hit1", "assignmentId": "A1"})
    people["careless"].answer()
    assert people["careless"].state["stage"] == "screened"
    assert people["careless"].state["completion_code"] == "OUT"
    people["back"].answer(3)
    back = [p for p in participants(desk.database, desk.exclusion) if p.participant == "back"]
    assert desk.decide_about(back[0].rater, "returned", "returned on Prolific") > 0
    desk.clock.now += 60 * desk.settings.expire_minutes
    for who in ("p1", "p2", "p3", "p4", "p5", "W1"):
        people[who].state = people[who].client.post("/api/state", json={}, headers=POST).json()["state"]
        people[who].answer()
        assert people[who].state["stage"] in ("done", "full"), people[who].state
        code = {"done": "DONE", "full": "FULL"}[people[who].state["stage"]]
        assert people[who].state["completion_code"] == code
        assert people[who].state["return_link"].endswith(f"?cc={code}")
    assert verify_database(desk.database).rows > 0
    table = {one.participant: one for one in participants(desk.database, desk.exclusion)}
    paid = {"p1", "p2", "p3", "p4", "p5"}
    assert {who: one.action for who, one in table.items()} == {
        **dict.fromkeys(paid, "approve"),
        "careless": "review",
        "gone": "none",
        "back": "none",
        "W1": "approve",
    }
    everybody = list(table.values())
    assert set(payment_file(everybody, "prolific-approve").split()) == paid
    completed = {
        one.participant for one in everybody if one.code == "completed" and one.provider == "prolific"
    }
    bonus = [line.split(",") for line in payment_file(everybody, "prolific-bonus", bonus=0.5).split()]
    assert {who: amount for who, amount in bonus} == dict.fromkeys(completed, "0.50")
    assert list(csv.DictReader(io.StringIO(payment_file(everybody, "mturk-review")))) == [
        {"HITId": "hit1", "AssignmentId": "A1", "WorkerId": "W1", "Approve": "x", "Reject": ""}
    ]
    assert table["careless"].reason == "failed attention checks"
    desk.decide_about(table["careless"].rater, "excluded", "failed 2 of 2 checks, looked at by hand")
    again = participants(desk.database, desk.exclusion)
    rejected = list(csv.DictReader(io.StringIO(payment_file(again, "prolific-reject"))))
    assert rejected == [{"participant": "careless", "reason": "failed 2 of 2 checks, looked at by hand"}]
    with pytest.raises(InputError, match="--bonus"):
        payment_file(again, "prolific-bonus")
    with pytest.raises(InputError, match="unknown payment file"):
        payment_file(again, "paypal")


def test_a_made_up_id_is_paid_by_nobody_and_runs_in_no_spreadsheet(tmp_path):
    desk = make_desk(tmp_path / "s", Clock(), votes_per_pair=9)
    person = Person(desk, create_app(desk, KEY), prolific("=cmd|' /C calc'!A0"))
    person.answer(2)
    (one,) = participants(desk.database, desk.exclusion)
    assert (one.action, one.votes) == ("review", 2)
    assert payment_file([one], "prolific-approve") == ""
    assert "'=cmd" in payment_file([one], "table")
    with desk.database.writing() as tx:
        register.add_rater(tx.db, "robot", now=0.0, simulated=True)
    with pytest.raises(InputError, match="simulated"):
        payment_file(participants(desk.database, desk.exclusion), "prolific-approve")
    desk.database.close()
