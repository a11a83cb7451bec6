"""The shipped nginx configuration, tried: two servers on one PostgreSQL behind a real nginx."""

import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import arena
from arena.ballots import Ballots
from arena.chain import standing, verify_chain
from arena.raters import server_key
from tests.arena.study import make_study
from tests.end_to_end.arena_server import POST, Rater, Server, free_port, postgres, postgres_programs

pytestmark = pytest.mark.postgres
TOKEN = "0123456789abcdef0123"
SHIPPED = Path(arena.__file__).parent / "nginx.conf"


@contextmanager
def nginx(folder, one, other):
    """The shipped file with these servers' ports; yields its address."""
    port = free_port()
    conf = SHIPPED.read_text(encoding="utf-8")
    for shipped, ours in (("7860", one.port), ("7861", other.port), ("8080", port)):
        assert shipped in conf
        conf = conf.replace(shipped, str(ours))
    (folder / "arena.conf").write_text(conf)
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{ }}\n"
        f"http {{ {places} include {folder}/arena.conf; }}\n"
    )
    # No user directive: as root its workers run as nobody, who must reach the temporary folders.
    folder.chmod(0o777)
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                if httpx.get(url + "/healthz").status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def test_raters_go_to_either_server_and_the_administrator_to_one(tmp_path):
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed")
    _, folder = make_study(tmp_path / "s", votes_per_pair=60, attention_rate=0.0, repeat_rate=0.0)
    front = tmp_path / "nginx"
    front.mkdir()
    with (
        postgres(tmp_path / "pg") as database,
        Server(folder.path, database.url, TOKEN) as one,
        Server(folder.path, database.url, TOKEN) as other,
        nginx(front, one, other) as url,
    ):
        person = Rater(url)
        person.client.headers["Origin"] = url  # as a browser sends it; nginx must pass the host on
        person.vote(6)
        picture = person.client.get(
            "/" + person.client.post("/api/state", json={}).json()["state"]["ballots"][0]["left"]
        )
        assert picture.headers["content-type"] == "image/png"
        assert picture.headers["cache-control"] == "no-store"
        assert "content-encoding" not in picture.headers
        assert person.client.post("/api/vote", content=b"x" * 100_000).status_code == 413
        evil = {**POST, "Origin": "http://evil.test"}
        assert httpx.post(url + "/api/start", json={"consent": True}, headers=evil).status_code == 403

        with httpx.Client(base_url=url, headers={"Origin": url}, timeout=60) as admin:
            assert admin.get("/admin/").status_code in (401, 403)
            assert admin.post("/admin-login", data={"token": TOKEN}).status_code == 303
            config = admin.get("/admin/").text
            assert re.search(r'"root":\s*"([^"]*)"', config).group(1) in (f"{url}/admin", "/admin")

        one.kill()  # the raters do not notice
        person.vote(6)
        assert person.not_saved == 0
        person.close()
        ballots = Ballots(database.url, server_key(folder.path))
        with ballots.reading() as tx:
            rows = list(tx.log())
            assert verify_chain(ballots.key, rows, tx.head) == len(standing(rows)) == 12
        ballots.close()
    assert len(person.acknowledged) == 12
