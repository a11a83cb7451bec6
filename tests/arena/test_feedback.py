"""Reports, leaving and the own choices: through the server's routes, as the page calls them."""

import json

import pytest
from fastapi.testclient import TestClient

from arena.db.reports import all_reports
from arena.db.vote_log import battles, standing
from arena.web.admin_views import report_rows
from arena.web.app import create_app
from tests.support.arena_desk import KEY, POST, Clock, log, make_desk, start

DISPLAY = {
    "viewport": [390, 844], "pixel_ratio": 2.0, "side": 268, "orientation": "portrait", "arrangement": "stacked",
    "language": "es", "build": "0123456789ab", "zoomed": True,
}  # fmt: skip


def opened(path, **arena):
    desk = make_desk(path, Clock(), attention_rate=0.0, repeat_rate=0.0, **arena)
    return desk, TestClient(create_app(desk, KEY), base_url="http://arena.test")


def post(client, path, **body):
    return client.post(f"/api/{path}", json=body, headers=POST)


def test_a_reported_pair_goes_and_never_comes_back_to_that_rater(tmp_path):
    desk, client = opened(tmp_path / "s", votes_per_pair=50)
    first, second = start(client)["ballots"]
    reply = post(client, "report", token=first["token"], side="right", reason="offensive")
    state = reply.json()["state"]
    assert state["ballots"][0]["token"] == second["token"]
    with desk.database.reading() as tx:
        (row,) = all_reports(tx.db)
        assigned = tx.history(row.rater_id)
    assert (row.reason, row.comment) == ("offensive", "right")
    ((_, reason, contender, prompt, *_),) = report_rows(desk)
    assert (reason, contender, prompt) == ("offensive", row.right, row.prompt_id)
    reported = (row.question, row.prompt_id, {row.left, row.right})
    while state["stage"] == "vote":
        state = post(client, "vote", token=state["ballots"][0]["token"], answer="left").json()["state"]
    votes = [(r.question, r.prompt_id, {r.left, r.right}) for r in log(desk)]
    assert votes
    assert reported not in votes
    assert assigned
    assert post(client, "report", token=first["token"], side="left", reason="broken").status_code == 409
    assert post(client, "report", token="x", side="left", reason="broken").status_code == 404
    assert post(client, "report", token="x", side="left", reason="ugly").status_code == 422
    desk.database.close()


def test_who_leaves_gives_back_what_they_hold_and_may_return(tmp_path):
    desk, client = opened(tmp_path / "s", votes_per_pair=50)
    state = start(client)
    post(client, "vote", token=state["ballots"][0]["token"], answer="left")
    left = post(client, "finish").json()["state"]
    assert (left["stage"], left["ballots"], left["progress"]["done"]) == ("finished", [], 1)
    with desk.database.reading() as tx:
        assert tx.state_counts().get("open", 0) == 0
        assert sum(p.taken for p in tx.pairs()) == 1
    assert post(client, "state").json()["state"]["stage"] == "vote"
    desk.database.close()


def test_how_a_pair_was_shown_is_kept_and_exported(tmp_path):
    desk, client = opened(tmp_path / "s")
    token = start(client)["ballots"][0]["token"]
    assert post(client, "vote", token=token, answer="left", display=DISPLAY).status_code == 200
    (battle,) = battles(log(desk), desk.prompts, {})
    assert (battle.viewport_width, battle.viewport_height, battle.pixel_ratio) == (390, 844, 2.0)
    assert (battle.picture_side, battle.orientation, battle.arrangement) == (268, "portrait", "stacked")
    assert (battle.language, battle.page_build, battle.scale, battle.comment) == (
        "es",
        "0123456789ab",
        None,
        "",
    )
    desk.database.close()


@pytest.mark.parametrize(
    "wrong",
    [{"side": -1}, {"arrangement": "heap"}, {"pixel_ratio": float("inf")}, {"viewport": [1]}, {"model": "sdxl"},
     {"build": "not hex"}],
)  # fmt: skip
def test_a_display_record_that_says_anything_else_is_refused(tmp_path, wrong):
    desk, client = opened(tmp_path / "s")
    token = start(client)["ballots"][0]["token"]
    body = json.dumps({"token": token, "answer": "left", "display": {**DISPLAY, **wrong}})
    headers = {**POST, "Content-Type": "application/json"}
    assert client.post("/api/vote", content=body, headers=headers).status_code == 422
    desk.database.close()


def test_a_seven_point_answer_collapses_to_a_side_and_keeps_its_point(tmp_path):
    desk, client = opened(tmp_path / "s", questions=("quality",))
    ballots = start(client)["ballots"]
    wrong = post(client, "vote", token=ballots[0]["token"], answer="left", scale=-2)
    assert wrong.status_code == 422
    post(client, "vote", token=ballots[0]["token"], answer="right", scale=-2, comment="blurred hands")
    (battle,) = battles(standing(log(desk)), desk.prompts, {})
    assert (battle.outcome, battle.scale, battle.comment) == ("right", -2, "blurred hands")
    desk.database.close()


@pytest.mark.parametrize("reveal", ["never", "after-study"])
def test_own_choices_are_told_only_when_the_study_is_closed_and_tells(tmp_path, reveal):
    desk, client = opened(
        tmp_path / "s",
        reveal=reveal,
        personal_board=True,
        prompts=30,
        votes_per_pair=60,
        questions=("alignment",),
    )
    state, answers = start(client), []
    for number in range(33):
        answers.append(("left", "right", "tie")[number % 3])
        state = post(client, "vote", token=state["ballots"][0]["token"], answer=answers[-1]).json()["state"]
    assert post(client, "choices").status_code == 403
    with desk.database.writing() as tx:
        tx.set_setting("phase", "closed")
    reply = post(client, "choices")
    if reveal == "never":
        assert reply.status_code == 403
        return
    own = reply.json()
    rows = log(desk)
    for choice, row in zip(own["choices"], rows, strict=True):
        chosen = row.right if row.answer == "right" else row.left
        assert choice["names"][0] == chosen
        assert choice["outcome"] == row.answer
    expected: dict[str, list[float]] = {}
    for row in rows:
        share = {"left": 1.0, "right": 0.0, "tie": 0.5}[row.answer]
        expected.setdefault(row.left, []).append(share)
        expected.setdefault(row.right, []).append(1 - share)
    assert {e["name"]: (e["share"], e["of"]) for e in own["board"]} == {
        name: (sum(shares) / len(shares), len(shares)) for name, shares in expected.items()
    }
    desk.database.close()
