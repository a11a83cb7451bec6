"""The server is really killed while people vote, and PostgreSQL really stopped: nothing lost, nothing twice.

ARENA_FAULT_VOTES sets how many votes are in flight at once (100 here; 2000 is what the design promises).
"""

import asyncio
import os
import threading
import time
from collections import Counter
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import pytest

from arena import admission
from arena.admission import server_key
from arena.db import schema
from arena.db.database import VoteDatabase
from arena.db.vote_log import standing, verify_chain
from arena.voting import Desk
from arena.web.app import COOKIE
from bench.study.study import open_study
from tests.support.arena_server import POST, Postgres, Rater, Server, postgres, postgres_programs
from tests.support.arena_study import make_study

VOTES = int(os.environ.get("ARENA_FAULT_VOTES", "100"))
DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture
def study(tmp_path):
    _, folder = make_study(
        tmp_path / "s",
        prompts=40,
        votes_per_pair=2 * VOTES,
        attention_rate=0.0,
        repeat_rate=0.0,
        expire_minutes=600,  # a busy machine may be slow
    )
    return folder


@pytest.fixture
def database(request):
    if request.param == "sqlite":
        yield None
        return
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres() as server:
        yield server


def audit(folder, database, told):
    """Every acknowledged vote is there with its answer, none twice, counters and chain agree.

    told: token → answer of every vote that was acknowledged.
    """
    database = VoteDatabase(
        database.url if database else schema.sqlite_url(folder.votes_file), server_key(folder.path)
    )
    with database.reading() as tx:
        rows = list(tx.log())
        assert rows, "no vote is there"
        stored = {tx.assignment(row.assignment_id).token: row.answer for row in standing(rows)}
        assert {token: stored.get(token) for token in told} == told
        assert max(Counter(row.assignment_id for row in rows).values()) == 1
        assert verify_chain(database.key, rows, tx.head) == len(rows)
        assert sum(p.voted for p in tx.pairs()) == len(rows)
        taken = sum(p.taken for p in tx.pairs())
        assert taken == sum(n for state, n in tx.state_counts().items() if state in ("open", "voted"))
        assert taken == sum(c.taken for p in tx.pairs() for c in tx.cells(p.id))
    database.close()
    return len(told), len(rows)


class Storm:
    """One vote of each of many raters, all sent at once, each sent again until the server answers."""

    def __init__(self, server):
        self.server = server
        self.told = {}
        self.again = 0
        self.struck = asyncio.Event()
        """Set at the first kill: one rater in ten waits for it, so that a quick server is killed under votes too."""

    async def run(self, people, kills):
        """people: cookie and token of each. kills: shares of the votes acknowledged at which it is killed."""
        jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # each rater's cookie travels by hand
        count = len(people)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=count)
        async with httpx.AsyncClient(
            base_url=self.server.url, headers=POST, timeout=600, limits=limits, cookies=jar, verify=False
        ) as client:
            votes = asyncio.gather(*(self.vote(client, number, *one) for number, one in enumerate(people)))
            for share in kills:
                while len(self.told) < share * count:
                    await asyncio.sleep(0.002)
                self.struck.set()
                self.server.kill()
                await asyncio.to_thread(self.server.start)
            await asyncio.wait_for(votes, 1200)

    async def vote(self, client, number, cookie, token):
        answer = ("left", "right", "tie")[number % 3]
        if number % 10 == 9:
            await self.struck.wait()
        while True:
            try:
                body = {"token": token, "answer": answer, "seconds": 1.0}
                reply = await client.post("/api/vote", json=body, headers={"Cookie": cookie})
                if reply.status_code < 500:
                    break
            except httpx.HTTPError:
                pass
            self.again += 1
            await asyncio.sleep(0.25)
        assert reply.status_code == 200, reply.text
        assert reply.json()["saved"] is True
        self.told[token] = answer


def arrivals(folder, url, count):
    """Cookie and token of as many new raters, each with a pair in hand."""
    database = VoteDatabase(url, server_key(folder.path))
    database.migrate()
    desk = Desk(open_study(folder), folder, database, time.time)
    desk.prepare()
    people = [admission.admit(database, {}, now=time.time()) for _ in range(count)]
    found = [
        (f"{COOKIE}={admission.seal(database.key, p)}", desk.hand(p.rater_id).open[0].token) for p in people
    ]
    database.close()
    return found


@pytest.mark.parametrize("database", DATABASES, indirect=True)
def test_a_server_killed_during_concurrent_votes_loses_none(study, database):
    people = arrivals(study, database.url if database else schema.sqlite_url(study.votes_file), VOTES)
    with Server(study.path, database.url if database else None) as server:
        storm = Storm(server)
        asyncio.run(storm.run(people, kills=(0.3,) if VOTES < 1000 else (0.2, 0.4, 0.6)))
    told, stored = audit(study, database, storm.told)
    assert told == stored == VOTES
    assert storm.again > 0  # the kills were felt
    print(f"{told} acknowledged, {stored} stored, {storm.again} calls sent again")


@pytest.mark.postgres
@pytest.mark.parametrize("database", DATABASES[1:], indirect=True)
def test_a_stopped_database_reads_not_saved_and_then_works(study, database: Postgres):
    with Server(study.path, database.url) as server:
        person = Rater(server.url)
        state = person.patiently("/api/start", {"consent": True}).json()["state"]
        body = {"token": state["ballots"][0]["token"], "answer": "left"}
        time.sleep(1.5)  # a hand-out, unlike a vote, is on disk within three times wal_writer_delay, 0.2 s
        database.stop()
        reply = person.client.post("/api/vote", json=body)
        assert (reply.status_code, reply.json()) == (503, {"error": "not_saved"})
        database.start()
        reply = person.patiently("/api/vote", body)
        assert (reply.status_code, reply.json().get("saved")) == (200, True), reply.text
        person.close()
        assert audit(study, database, {body["token"]: "left"}) == (1, 1)


@pytest.mark.postgres
@pytest.mark.parametrize("database", DATABASES[1:], indirect=True)
def test_two_servers_on_one_postgres_never_hand_out_one_slot_twice(tmp_path, database: Postgres):
    # one question: then nobody can have seen a prompt whose slot is still free, and no slot need be doubled
    _, folder = make_study(
        tmp_path / "two",
        prompts=8,
        votes_per_pair=8,
        questions=("alignment",),
        attention_rate=0.0,
        repeat_rate=0.0,
    )
    with Server(folder.path, database.url) as one, Server(folder.path, database.url) as other:
        people = [Rater(url) for url in (one.url, other.url) * 6]
        threads = [threading.Thread(target=person.vote, args=(30,)) for person in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for person in people:
        person.close()
    acknowledged = {token: answer for p in people for token, answer in p.acknowledged.items()}
    told, stored = audit(folder, database, acknowledged)
    assert told == stored == 8 * 3
    database = VoteDatabase(database.url, server_key(folder.path))
    with database.reading() as tx:
        assert {(p.taken, p.voted) for p in tx.pairs()} == {(8, 8)}
        assert {c.taken for p in tx.pairs() for c in tx.cells(p.id)} == {1}
    database.close()
