"""The server is really killed while people vote, and PostgreSQL really stopped: nothing lost, nothing twice.

ARENA_FAULT_VOTES sets the number of concurrent votes (300 here; 2000 is what the design promises).
"""

import os
import threading
import time
from collections import Counter

import pytest

from arena import schema
from arena.ballots import Ballots
from arena.chain import standing, verify_chain
from arena.raters import server_key
from tests.arena.study import make_study
from tests.end_to_end.arena_server import Postgres, Rater, Server, postgres, postgres_programs

VOTES = int(os.environ.get("ARENA_FAULT_VOTES", "300"))
CLIENTS = 20
DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture
def study(tmp_path):
    per_client = -(-VOTES // CLIENTS)
    _, folder = make_study(
        tmp_path / "s", prompts=per_client, votes_per_pair=VOTES, attention_rate=0.0, repeat_rate=0.0
    )
    return folder


@pytest.fixture
def database(request, tmp_path):
    if request.param == "sqlite":
        yield None
        return
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres(tmp_path / "pg") as server:
        yield server


def audit(folder, database, people):
    """Every acknowledged vote is there with its answer, none twice, counters and chain agree."""
    for person in people:
        person.close()
    ballots = Ballots(
        database.url if database else schema.sqlite_url(folder.votes_file), server_key(folder.path)
    )
    told = {token: answer for person in people for token, answer in person.acknowledged.items()}
    with ballots.reading() as tx:
        rows = list(tx.log())
        stored = {tx.assignment(row.assignment_id).token: row.answer for row in standing(rows)}
        assert {token: stored.get(token) for token in told} == told
        assert max(Counter(row.assignment_id for row in rows).values()) == 1
        assert verify_chain(ballots.key, rows, tx.head) == len(rows)
        assert sum(p.voted for p in tx.pairs()) == len(rows)
        taken = sum(p.taken for p in tx.pairs())
        assert taken == sum(n for state, n in tx.state_counts().items() if state in ("open", "voted"))
        assert taken == sum(c.taken for p in tx.pairs() for c in tx.cells(p.id))
    ballots.close()
    return len(told), len(rows)


def crowd(url):
    people = [Rater(url) for _ in range(CLIENTS)]
    failures = []

    def work(person):
        try:
            person.vote(-(-VOTES // CLIENTS))
        except Exception as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    return people, threads, failures


def wait_for(people, count):
    deadline = time.time() + 120
    while sum(len(p.acknowledged) for p in people) < count:
        assert time.time() < deadline, "the votes do not come in"
        time.sleep(0.02)


@pytest.mark.parametrize("database", DATABASES, indirect=True)
def test_a_server_killed_during_concurrent_votes_loses_none(study, database):
    server = Server(study.path, database.url if database else None)
    server.start()
    people, threads, failures = crowd(server.url)
    for share in (0.25, 0.6):
        wait_for(people, int(VOTES * share))
        server.kill()
        server.start()
    for thread in threads:
        thread.join()
    server.kill()
    assert not failures
    told, stored = audit(study, database, people)
    assert told == stored >= VOTES
    assert sum(p.not_saved for p in people) > 0  # the kills were felt
    print(f"{told} acknowledged, {stored} stored, {sum(p.not_saved for p in people)} calls tried again")


@pytest.mark.postgres
@pytest.mark.parametrize("database", DATABASES[1:], indirect=True)
def test_a_stopped_database_reads_not_saved_and_then_works(study, database: Postgres):
    with Server(study.path, database.url) as server:
        person = Rater(server.url)
        state = person.patiently("/api/start", {"consent": True}).json()["state"]
        body = {"token": state["ballots"][0]["token"], "answer": "left"}
        database.stop()
        reply = person.client.post("/api/vote", json=body)
        assert (reply.status_code, reply.json()) == (503, {"error": "not_saved"})
        database.start()
        reply = person.patiently("/api/vote", body)
        assert reply.json()["saved"] is True
        person.acknowledged[body["token"]] = "left"
        assert audit(study, database, [person]) == (1, 1)


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
    told, stored = audit(folder, database, people)
    assert told == stored == 8 * 3
    ballots = Ballots(database.url, server_key(folder.path))
    with ballots.reading() as tx:
        assert {(p.taken, p.voted) for p in tx.pairs()} == {(8, 8)}
        assert {c.taken for p in tx.pairs() for c in tx.cells(p.id)} == {1}
    ballots.close()
