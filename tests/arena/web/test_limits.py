"""Who asks too often is made to wait, and nobody else: open links, cookies, the administrator's login."""

import pytest
from fastapi.testclient import TestClient

from arena.admission import Gate
from arena.web import admin_login
from arena.web import app as server
from arena.web.app import create_app
from arena.web.security import ARRIVALS, CALLS, LOGINS, RateLimits, Window
from bench.errors import InputError
from bench.study.file import Panel
from tests.support.arena_desk import KEY, POST, Clock, make_desk, start

TOKEN = "administrators-token"


@pytest.fixture
def desk(tmp_path):
    made = make_desk(tmp_path / "s", Clock(), votes_per_pair=500)
    yield made
    made.database.close()


def visitor(app, address):
    return TestClient(app, base_url="http://arena.test", client=(address, 5000))


def test_a_window_forgets_what_is_older_than_it():
    now = [0.0]
    window = Window(2, 10.0, lambda: now[0])
    assert [window.add("a") for _ in range(3)] == [True, True, False]
    assert window.add("b")
    now[0] = 10.0
    assert window.add("a")


def test_one_address_brings_so_many_raters_by_the_open_link_and_no_more(desk):
    limits = RateLimits(trusted=["10.0.0.0/8"])
    app = create_app(desk, KEY, limits=limits)
    body = {"consent": True, "parameters": {}}
    for address, expected in (("203.0.113.7", 429), ("10.1.2.3", 200), ("127.0.0.1", 200)):
        for _ in range(ARRIVALS[0]):
            limits.arrivals.add(address)
        assert visitor(app, address).post("/api/start", json=body, headers=POST).status_code == expected
    other = visitor(app, "203.0.113.8")
    start(other)
    for _ in range(ARRIVALS[0]):
        limits.arrivals.add("203.0.113.8")
    start(other)  # who is here already may come back
    paid = {"consent": True, "parameters": {"PROLIFIC_PID": "5f00", "STUDY_ID": "s", "SESSION_ID": "t"}}
    assert visitor(app, "203.0.113.7").post("/api/start", json=paid, headers=POST).status_code == 200
    with pytest.raises(InputError, match="trusted-network"):
        RateLimits(trusted=["lab"])


def test_one_cookie_asks_so_often_and_no_more(desk):
    app = create_app(desk, KEY, limits=RateLimits())
    client = visitor(app, "203.0.113.9")
    start(client)
    replies = [client.post("/api/undo", json={}, headers=POST).status_code for _ in range(CALLS[0] + 1)]
    assert set(replies[:-1]) == {409}
    assert replies[-1] == 429


def test_guessing_the_administrators_token_is_slow_and_soon_refused(desk, monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr(server.asyncio, "sleep", sleep)
    client = visitor(create_app(desk, KEY, admin_token=TOKEN), "203.0.113.1")
    replies = [client.post("/admin-login", data={"token": f"guess {i}"}).status_code for i in range(200)]
    assert replies == [403] * LOGINS[0] + [429] * (200 - LOGINS[0])
    assert waited == [admin_login.WRONG_LOGIN] * LOGINS[0]
    assert admin_login.WRONG_LOGIN >= 1
    assert client.post("/admin-login", data={"token": TOKEN}).status_code == 429
    owner = visitor(client.app, "203.0.113.2")
    reply = owner.post("/admin-login", data={"token": TOKEN}, follow_redirects=False)
    assert reply.status_code == 303
    assert owner.get("/admin-export/csv").status_code == 200
    assert owner.post("/admin-logout", follow_redirects=False).status_code == 303
    assert owner.get("/admin-export/csv").status_code == 401


def test_no_consent_stores_nothing_and_shows_its_code(tmp_path):
    desk = make_desk(
        tmp_path / "n", Clock(), codes={"no_consent": "NO"}, return_link="https://panel.test/?cc={code}"
    )
    client = visitor(create_app(desk, KEY, gate=Gate(panel=Panel())), "203.0.113.3")
    reply = client.post("/api/decline", json={}, headers=POST)
    assert reply.json() == {"completion_code": "NO", "return_link": "https://panel.test/?cc=NO"}
    assert not client.cookies
    desk.database.close()


def test_a_rater_moves_to_another_browser_with_the_code_of_the_first(desk):
    app = create_app(desk, KEY)
    first, second = visitor(app, "203.0.113.4"), visitor(app, "203.0.113.5")
    held = start(first)["ballots"]
    code = first.post("/api/move", json={}, headers=POST).json()["code"]
    assert start(second, move=code)["ballots"] == held
    vote = {"token": held[0]["token"], "answer": "left"}
    reply = first.post("/api/vote", json=vote, headers=POST)
    assert (reply.status_code, reply.json()["error"]) == (401, "session_elsewhere")
    assert second.post("/api/vote", json=vote, headers=POST).json()["saved"]
