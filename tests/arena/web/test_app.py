"""The server: blind in everything it sends, closed to everybody who should not come in."""

import io
import json
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from arena import admission
from arena.web.app import create_app
from tests.support.arena_desk import KEY, POST, Clock, log, make_desk, start
from tests.support.arena_study import NAMES

GIVEAWAYS = (
    "sdxl",
    "turbo",
    "@1",
    "@4",
    "@50",
    "secret",
    "7700",
    ".webp",
    "images/",
    "steps",
    "contender",
    "seed",
)
STATE_KEYS = {
    "state", "stage", "ballots", "token", "question", "prompt", "left", "right", "progress", "done", "limit",
    "study", "can_undo", "break_after", "saved",
    "completion_code", "return_link", "error", "prompt_language", "min_seconds",
}  # fmt: skip


@pytest.fixture
def desk(tmp_path):
    made = make_desk(tmp_path / "s", Clock(), votes_per_pair=30, attention_rate=0.15, repeat_rate=0.4)
    yield made
    made.database.close()


@pytest.fixture
def client(desk):
    return TestClient(create_app(desk, KEY), base_url="http://arena.test")


def keys_of(value):
    if isinstance(value, dict):
        return set(value) | {k for v in value.values() for k in keys_of(v)}
    return {k for v in value for k in keys_of(v)} if isinstance(value, list) else set()


def chunks(webp):
    assert webp[:4] + webp[8:12] == b"RIFFWEBP"
    assert len(webp) == 8 + int.from_bytes(webp[4:8], "little")
    at, names = 12, []
    while at < len(webp):
        names.append(webp[at : at + 4])
        at += 8 + int.from_bytes(webp[at + 4 : at + 8], "little")
    return names


def whole_session(client):
    """Every reply of a session from the first page to the last, with its question."""
    replies = [client.get("/")]
    replies.append(client.post("/api/start", json={"consent": True}, headers=POST))
    state = replies[-1].json()["state"]
    number = 0
    while state["stage"] == "vote":
        ballot = state["ballots"][0]
        replies += [client.get("/" + ballot[side]) for side in ("left", "right")]
        answer = ("left", "right", "tie")[number % 3]
        body = {"token": ballot["token"], "answer": answer, "seconds": 1.5}
        replies.append(client.post("/api/vote", json=body, headers=POST))
        if number == 4:
            replies.append(client.post("/api/undo", json={}, headers=POST))
        state = replies[-1].json()["state"]
        number += 1
    assert number > 18
    return replies


def test_nothing_that_is_sent_tells_who_made_an_image(desk, client):
    replies = whole_session(client)
    kinds = {r.kind for r in log(desk)}
    assert kinds == {"vote", "check", "repeat"}
    for reply in replies:
        path = urlsplit(str(reply.request.url)).path
        said = [path, *(f"{k}: {v}" for k, v in reply.headers.items())]
        if reply.headers["content-type"].startswith("application/json"):
            assert keys_of(reply.json()) <= STATE_KEYS
        if not path.startswith("/i/"):
            # random tokens may spell anything; prompts are what they are
            text = reply.text
            if path.startswith("/api/") and "state" in reply.json():
                for ballot in reply.json()["state"]["ballots"]:
                    for value in [ballot[k] for k in ("token", "left", "right")] + [ballot.get("prompt", "")]:
                        text = text.replace(json.dumps(value, ensure_ascii=False)[1:-1], "")
            said.append(text)
        else:
            said[0] = "/i/"
        said = [line for line in said if not line.lower().startswith("set-cookie")]
        for giveaway in (*GIVEAWAYS, *NAMES, str(desk.folder.path), desk.study.name):
            assert giveaway.lower() not in "\n".join(said).lower(), (giveaway, path)
        assert reply.headers["cache-control"] == "no-store"
        assert "server" not in reply.headers


def test_the_kind_of_a_pair_cannot_be_told_from_its_ballot(desk, client):
    shapes = set()
    state = start(client)
    while state["stage"] == "vote":
        ballot = state["ballots"][0]
        shapes.add(
            (
                ballot["question"],
                tuple(ballot),
                len(ballot["token"]),
                len(ballot["left"]),
                len(ballot["right"]),
            )
        )
        body = {"token": ballot["token"], "answer": "left"}
        state = client.post("/api/vote", json=body, headers=POST).json()["state"]
    assert len(shapes) == 2  # one for each question: only `alignment` shows the prompt
    assert {("prompt" in keys) for question, keys, *_ in shapes if question == "quality"} == {False}


def test_images_are_alike_in_all_but_their_pixels_and_lossless(desk, client):
    state = start(client)
    lengths, headers, native = set(), set(), set()
    for _ in range(12):
        ballot = state["ballots"][0]
        with desk.database.reading() as tx:
            one = tx.by_token(ballot["token"])
        for side in ("left", "right"):
            reply = client.get("/" + ballot[side])
            lengths.add(len(reply.content))
            headers.add(tuple(sorted(k for k in reply.headers)))
            assert chunks(reply.content) == [b"VP8L"]
            shown = Image.open(io.BytesIO(reply.content))
            assert (shown.size, shown.mode, len(shown.getexif())) == ((32, 32), "RGB", 0)
            if one.kind != "check":
                source = Image.open(desk.folder.image(getattr(one, side), one.prompt_id, 0)).convert("RGB")
                native.add(source.size)
                assert np.array_equal(
                    np.asarray(shown), np.asarray(source.resize((32, 32), Image.Resampling.LANCZOS))
                )
        state = client.post(
            "/api/vote", json={"token": ballot["token"], "answer": "left"}, headers=POST
        ).json()["state"]
    assert len(lengths) == len(headers) == 1
    assert len(native) == 3


def test_image_tokens_belong_to_one_rater_and_end_with_the_vote(desk, client):
    ballot = start(client)["ballots"][0]
    other = TestClient(client.app, base_url="http://arena.test")
    assert other.get("/" + ballot["left"]).status_code == 401
    start(other)
    assert other.get("/" + ballot["left"]).status_code == 404
    assert client.get("/" + ballot["left"]).status_code == 200
    client.post("/api/vote", json={"token": ballot["token"], "answer": "left"}, headers=POST)
    assert client.get("/" + ballot["left"]).status_code == 404
    ahead = client.post("/api/state", json={}, headers=POST).json()["state"]["ballots"][0]
    desk.clock.now += 60 * 16
    assert client.get("/" + ahead["left"]).status_code == 404


def test_paths_out_of_the_folder_lead_nowhere(client):
    start(client)
    for path in (
        "/i/../study.toml", "/i/..%2f..%2fstudy.toml", "/i/%2e%2e%2farena.key", "/static/..%2fcli.py",
        "/static/cli.py", "/static/../arena.key", "/images/sdxl-turbo@1/secret0-0.webp", "/votes.sqlite",
        "/docs", "/openapi.json",
        "/redoc", "/file=/etc/passwd", "/gradio_api/file=/etc/passwd", "/config", "/monitoring",
    ):  # fmt: skip
        assert client.get(path).status_code in (404, 401), path


def test_forged_and_replayed_calls_change_nothing(desk, client):
    ballot = start(client)["ballots"][0]
    vote = {"token": ballot["token"], "answer": "left"}
    other = TestClient(client.app, base_url="http://arena.test")
    assert other.post("/api/vote", json=vote, headers=POST).status_code == 401
    session = admission.unseal(KEY, client.cookies["arena_rater"])
    guessed = admission.seal(KEY, replace(session, secret="guess"))  # even with the server's key
    for cookie in (session.rater_id, f"{session.rater_id}.", admission.seal(bytes(32), session), guessed):
        other.cookies.set("arena_rater", cookie)
        assert other.post("/api/vote", json=vote, headers=POST).status_code == 401
    other.cookies.clear()
    start(other)
    assert other.post("/api/vote", json=vote, headers=POST).status_code == 404
    wrong = (
        {**vote, "answer": "both_bad"},
        {**vote, "answer": "left'; DROP TABLE votes;--"},
        {**vote, "extra": 1},
        {**vote, "seconds": -1},
        {**vote, "seconds": "1"},
        {"token": 5, "answer": "left"},
        {"answer": "left"},
        [],
    )
    for body in wrong:
        assert client.post("/api/vote", json=body, headers=POST).status_code == 422, body
    torn = {**POST, "Content-Type": "application/json"}
    assert client.post("/api/vote", content=b"\xff{", headers=torn).status_code in (400, 422)
    assert log(desk) == []
    assert client.post("/api/vote", json=vote, headers=POST).json()["saved"]
    assert client.post("/api/vote", json=vote, headers=POST).status_code == 200
    replay = client.post("/api/vote", json={**vote, "answer": "right"}, headers=POST)
    assert (replay.status_code, replay.json()["error"]) == (409, "answered")
    assert [r.answer for r in log(desk)] == ["left"]


def test_posts_from_other_sites_and_large_bodies_are_refused(desk, client, caplog):
    ballot = start(client)["ballots"][0]
    vote = {"token": ballot["token"], "answer": "left"}
    for headers in (
        {},
        {**POST, "Origin": "http://evil.test"},
        {**POST, "Origin": "null"},
        {**POST, "Sec-Fetch-Site": "cross-site"},
    ):
        assert client.post("/api/vote", json=vote, headers=headers).status_code == 403
    assert client.post("/api/vote", content=b"x" * 100_000, headers=POST).status_code == 413
    pieces = iter([b"x" * 40_000] * 3)
    assert client.post("/api/vote", content=pieces, headers=POST).status_code == 413
    assert log(desk) == []
    assert "refused POST /api/vote: cross_site" in caplog.text
    assert (
        client.post("/api/vote", json=vote, headers={**POST, "Origin": "http://arena.test"}).status_code
        == 200
    )


def test_consent_comes_first(client):
    assert client.post("/api/state", json={}, headers=POST).json()["state"]["stage"] == "consent"
    for body in ({}, {"consent": False}, {"consent": 1}):
        assert client.post("/api/start", json=body, headers=POST).status_code == 422
    assert "arena_rater" not in client.cookies


def test_cookies_are_kept_from_scripts_and_other_sites(client):
    reply = client.post("/api/start", json={"consent": True}, headers=POST)
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_a_panel_link_returns_to_the_same_rater_and_ends_with_the_code(tmp_path):
    desk = make_desk(
        tmp_path / "s", votes_per_rater=2, completion_code="DONE-1", return_link="https://panel.example/x"
    )
    app = create_app(desk, KEY)
    link = {"PROLIFIC_PID": "person-77", "STUDY_ID": "s", "SESSION_ID": "t"}
    client = TestClient(app, base_url="http://arena.test")
    state = start(client, **link)
    first = client.cookies["arena_rater"]
    assert start(client, **link)["ballots"] == state["ballots"]
    assert client.cookies["arena_rater"] == first
    assert "person" not in first
    again = TestClient(app, base_url="http://arena.test")
    reply = again.post("/api/start", json={"consent": True, "parameters": link}, headers=POST)
    assert (reply.status_code, reply.json()) == (403, {"error": "session_elsewhere"})
    for _ in range(2):
        assert "completion_code" not in state
        body = {"token": state["ballots"][0]["token"], "answer": "tie"}
        state = client.post("/api/vote", json=body, headers=POST).json()["state"]
    assert (state["stage"], state["completion_code"], state["return_link"]) == (
        "done",
        "DONE-1",
        "https://panel.example/x",
    )
    desk.database.close()


@pytest.mark.parametrize("reveal", ["never", "after-study"])
def test_names_are_shown_only_after_the_study_and_only_if_it_says_so(tmp_path, reveal):
    desk = make_desk(tmp_path / "s", reveal=reveal, votes_per_rater=1)
    client = TestClient(create_app(desk, KEY), base_url="http://arena.test")
    state = start(client)
    body = {"token": state["ballots"][0]["token"], "answer": "left"}
    done = client.post("/api/vote", json=body, headers=POST).json()["state"]
    assert "revealed" not in done
    with desk.database.writing() as tx:
        tx.set_setting("phase", "closed")
    closed = client.post("/api/state", json={}, headers=POST).json()["state"]
    assert closed.get("revealed") == (sorted(NAMES) if reveal == "after-study" else None)
    desk.database.close()


def test_a_paused_study_shows_nothing_and_a_closed_one_takes_nothing(desk, client):
    ballot = start(client)["ballots"][0]
    vote = {"token": ballot["token"], "answer": "left"}
    for phase in ("paused", "closed"):
        with desk.database.writing() as tx:
            tx.set_setting("phase", phase)
        state = client.post("/api/state", json={}, headers=POST).json()["state"]
        assert (state["stage"], state["ballots"]) == (phase, [])
    assert client.post("/api/vote", json=vote, headers=POST).status_code == 403
    assert log(desk) == []


def test_a_database_that_is_away_reads_not_saved_and_then_works(desk, client):
    from sqlalchemy import text

    ballot = start(client)["ballots"][0]
    vote = {"token": ballot["token"], "answer": "left"}
    with desk.database.engine.begin() as db:
        db.execute(text("ALTER TABLE votes RENAME TO away"))
    reply = client.post("/api/vote", json=vote, headers=POST)
    assert (reply.status_code, reply.json()) == (503, {"error": "not_saved"})
    with desk.database.engine.begin() as db:
        db.execute(text("ALTER TABLE away RENAME TO votes"))
    assert client.post("/api/vote", json=vote, headers=POST).json()["saved"]
    assert len(log(desk)) == 1


def test_a_missing_image_can_be_skipped_and_its_slot_returns(desk, client):
    for key in desk.images.made:
        desk.folder.image(*key).unlink()  # nothing is rendered yet
    ballot = start(client)["ballots"][0]
    with desk.database.reading() as tx:
        before = sum(p.taken for p in tx.pairs())
    assert client.get("/" + ballot["left"]).status_code == 404
    state = client.post("/api/skip", json={"token": ballot["token"]}, headers=POST).json()["state"]
    assert state["ballots"][0]["token"] != ballot["token"]
    assert (
        client.post("/api/vote", json={"token": ballot["token"], "answer": "left"}, headers=POST).status_code
        == 410
    )
    with desk.database.reading() as tx:
        assert tx.state_counts()["skipped"] == 1
        assert sum(p.taken for p in tx.pairs()) <= before + 1
