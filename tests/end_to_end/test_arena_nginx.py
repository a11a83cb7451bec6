"""The shipped nginx configuration, tried: two servers on one PostgreSQL behind a real nginx, one of them killed."""

import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import arena
from arena.admission import server_key
from arena.db.database import VoteDatabase
from arena.db.vote_log import standing, verify_chain
from tests.support.arena_server import POST, Rater, Server, free_port, postgres, postgres_programs
from tests.support.arena_study import make_study
from tests.support.nginx import NGINX, nginx

pytestmark = pytest.mark.postgres
TOKEN = "0123456789abcdef0123"
SHIPPED = Path(arena.__file__).parent / "nginx.conf"


@contextmanager
def shipped(ports):
    """The shipped file with other ports (shipped → ours); yields the address it listens on."""
    conf = SHIPPED.read_text(encoding="utf-8")
    for there, ours in ports.items():
        assert f":{there};" in conf
        conf = conf.replace(f":{there};", f":{ours};")
    url = f"http://127.0.0.1:{ports[8080]}"
    with nginx(conf, url + "/healthz"):
        yield url


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    """Address of nginx, the two servers behind it (only the first has an administrator's page), the database."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed")
    _, folder = make_study(
        tmp_path_factory.mktemp("nginx") / "s", votes_per_pair=60, attention_rate=0.0, repeat_rate=0.0
    )
    with (
        postgres() as database,
        Server(folder.path, database.url, TOKEN) as one,
        Server(folder.path, database.url) as other,
        shipped({7860: one.port, 7861: other.port, 8080: free_port()}) as url,
    ):
        yield url, one, other, database


def test_a_rater_comes_through_as_the_page_sends_it(behind):
    url, *_ = behind
    person = Rater(url)
    person.client.headers["Origin"] = url  # as a browser sends it: nginx must pass the host on
    person.vote(4)
    state = person.client.post("/api/state", json={}).json()["state"]
    picture = person.client.get("/" + state["ballots"][0]["left"])
    assert picture.headers["content-type"].startswith("image/")
    assert picture.headers["cache-control"] == "no-store"
    assert "content-encoding" not in picture.headers
    assert person.client.post("/api/vote", content=b"x" * 100_000).status_code == 413
    evil = {**POST, "Origin": "http://evil.test"}
    assert httpx.post(url + "/api/start", json={"consent": True}, headers=evil).status_code == 403
    assert (len(person.acknowledged), person.not_saved) == (4, 0)
    person.close()


def test_the_administrators_page_and_its_events_come_from_one_server(behind):
    url, *_ = behind
    with httpx.Client(base_url=url, headers={"Origin": url}, timeout=60) as admin:
        assert admin.get("/admin/").status_code in (401, 403)
        assert admin.post("/admin-login", data={"token": TOKEN}).status_code == 303
        page = admin.get("/admin/").text
        assert re.search(r'"root":\s*"([^"]*)"', page).group(1) in (f"{url}/admin", "/admin")
        body = {"data": [], "fn_index": 0, "session_hash": "s"}
        for _ in range(4):
            event = admin.post("/admin/gradio_api/queue/join", json=body).json()["event_id"]
            with admin.stream("GET", "/admin/gradio_api/queue/data", params={"session_hash": "s"}) as stream:
                said = next(line for line in stream.iter_lines() if "process_completed" in line)
            assert event in said
            assert '"success":true' in said.replace(" ", "")


def test_raters_do_not_notice_when_one_server_is_killed(behind):
    url, one, _, database = behind
    people = [Rater(url) for _ in range(6)]
    threads = [threading.Thread(target=person.vote, args=(8,)) for person in people]
    for thread in threads:
        thread.start()
    while min(len(person.acknowledged) for person in people) < 2 and all(t.is_alive() for t in threads):
        time.sleep(0.005)
    one.kill()
    for thread in threads:
        thread.join()
    told = {token: answer for person in people for token, answer in person.acknowledged.items()}
    database = VoteDatabase(database.url, server_key(one.folder))
    with database.reading() as tx:
        rows = list(tx.log())
        assert verify_chain(database.key, rows, tx.head) == len(standing(rows))
        stored = {tx.assignment(row.assignment_id).token: row.answer for row in standing(rows)}
    database.close()
    assert {token: stored.get(token) for token in told} == told
    assert len(told) == 6 * 8
    assert [person.not_saved for person in people] == [0] * 6  # nginx sent what was under way to the other
    for person in people:
        person.close()
