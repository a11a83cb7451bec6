"""Who may frame the page, and under which names the server is reached."""

import pytest
from fastapi.testclient import TestClient

from arena.cli import collect as command
from arena.web import sharing
from arena.web.app import create_app
from bench.errors import InputError
from tests.support.arena_desk import KEY, POST, Clock, make_desk

SITE = "https://lab.example"


@pytest.fixture
def desk(tmp_path):
    made = make_desk(tmp_path / "s", Clock())
    yield made
    made.database.close()


def client(desk, **settings):
    return TestClient(create_app(desk, KEY, **settings), base_url="http://arena.test")


def test_no_site_may_frame_the_page_unless_it_is_named(desk):
    closed, named = client(desk), client(desk, embed=[SITE])
    for path in ("/", "/healthz"):
        assert "frame-ancestors 'none'" in closed.get(path).headers["content-security-policy"]
        assert closed.get(path).headers["x-frame-options"] == "DENY"
        assert f"frame-ancestors {SITE}" in named.get(path).headers["content-security-policy"]
        assert "x-frame-options" not in named.get(path).headers
    assert "default-src 'none'" in named.get("/").headers["content-security-policy"]


def test_a_framed_page_gets_a_cookie_that_browsers_keep_there(desk):
    def cookie(**settings):
        body = {"consent": True}
        return client(desk, **settings).post("/api/start", json=body, headers=POST).headers["set-cookie"]

    assert "SameSite=Lax" in cookie()
    assert "Secure" not in cookie()
    assert "SameSite=Lax; Secure" in cookie(secure=True)
    assert cookie(embed=[SITE]).endswith("SameSite=None; Secure; Partitioned")


def test_a_tunnel_in_front_may_pass_on_another_host(desk):
    headers = {**POST, "Origin": "https://abc.gradio.live"}
    body = {"consent": True}
    assert client(desk).post("/api/start", json=body, headers=headers).status_code == 403
    through = client(desk, public_hosts=["abc.gradio.live"])
    assert through.post("/api/start", json=body, headers=headers).status_code == 200
    headers["Origin"] = "https://evil.gradio.live"
    assert through.post("/api/start", json=body, headers=headers).status_code == 403


def test_share_asks_gradio_for_an_address_and_serves_under_it(tmp_path, monkeypatch, capsys):
    desk = make_desk(tmp_path / "s", Clock())
    desk.database.close()
    asked, served = [], []
    monkeypatch.setattr(
        "gradio.networking.setup_tunnel", lambda *given: asked.append(given) or "https://abc.gradio.live"
    )
    monkeypatch.setattr("uvicorn.run", lambda app, **settings: served.append(app))
    command.serve(str(desk.folder.path), host="0.0.0.0", port=7999, admin=False, share=True)
    assert asked[0][:2] == ("127.0.0.1", 7999)
    assert "https://abc.gradio.live/" in capsys.readouterr().err
    headers = {**POST, "Origin": "https://abc.gradio.live"}
    reply = TestClient(served[0]).post("/api/start", json={"consent": True}, headers=headers)
    assert reply.status_code == 200


def test_share_without_a_network_says_so_in_one_line(monkeypatch):
    def refuse(*given):
        raise RuntimeError("Could not get share link from Gradio API Server.")

    monkeypatch.setattr("gradio.networking.setup_tunnel", refuse)
    with pytest.raises(InputError, match=r"--share: no public address .*proxy of your own"):
        sharing.public_address("127.0.0.1", 7860)
