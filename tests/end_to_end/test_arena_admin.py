"""The administrator's page on a real server: closed without the token, and blind to the study's files."""

import httpx
import pytest

from tests.support.arena_server import POST, Rater, Server
from tests.support.arena_study import NAMES, make_study

TOKEN = "0123456789abcdef0123"


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    _, folder = make_study(tmp_path_factory.mktemp("admin") / "s", votes_per_pair=20)
    with Server(folder.path, admin=TOKEN) as server:
        person = Rater(server.url)
        person.vote(3)
        person.close()
        yield server, folder


@pytest.fixture
def client(arena):
    with httpx.Client(base_url=arena[0].url, timeout=60, headers={"Origin": arena[0].url}) as opened:
        yield opened


def files_of(folder):
    paths = (
        folder.image(NAMES[0], "secret0", 0),
        folder.study_file,
        folder.votes_file,
        folder.path / "arena.key",
    )
    return [f"/admin/gradio_api/file={path}" for path in paths]


def test_nothing_is_answered_without_the_token(arena, client):
    pages = ["/admin/", "/admin/config", "/admin/gradio_api/info", "/admin-export/jsonl", *files_of(arena[1])]
    pages += [
        "/gradio_api/info",
        "/config",
        "/admin/gradio_api/heartbeat/x",
        "/admin/gradio_api/queue/status",
    ]
    rater = client.post("/api/start", json={"consent": True}, headers=POST).headers["set-cookie"]
    for cookie in (None, "guess", TOKEN, rater.split(";")[0].split("=")[1]):
        if cookie:
            client.cookies.set("arena_admin", cookie)
        for path in pages:
            assert client.get(path).status_code in (401, 403, 404), path
        for path in ("/admin/gradio_api/queue/join", "/admin/gradio_api/run/predict"):
            body = {"data": [], "fn_index": 0, "session_hash": "x"}
            assert client.post(path, json=body).status_code in (401, 403, 404, 405), path
    assert client.post("/admin-login", data={"token": "wrong"}).status_code == 403
    evil = {"Origin": "http://evil.test"}
    assert client.post("/admin-login", data={"token": TOKEN}, headers=evil).status_code == 403


def test_with_the_token_votes_can_be_had_and_files_cannot(arena, client):
    reply = client.post("/admin-login", data={"token": TOKEN})
    assert reply.status_code == 303
    cookie = reply.headers["set-cookie"].lower()
    assert TOKEN not in cookie
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/admin/").status_code == 200
    assert len(client.get("/admin-export/jsonl").text.splitlines()) == 3
    assert client.get("/admin-export/xlsx").status_code == 404
    for path in (*files_of(arena[1]), "/admin/monitoring"):
        assert client.get(path).status_code in (401, 403, 404), path
    assert client.get("/admin/gradio_api/info").json()["named_endpoints"] == {}
