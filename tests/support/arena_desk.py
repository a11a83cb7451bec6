"""A desk over a small study with a clock of its own, and raters who come to it."""

from arena import admission
from arena.db import schema
from arena.db.database import VoteDatabase
from arena.voting import Desk
from tests.support.arena_study import make_study

KEY = bytes(range(32))


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


def make_desk(path, clock=None, url=None, **arena):
    """url: of the database; None: the study's own SQLite file."""
    settings = {"votes_per_pair": 6, "attention_rate": 0.0, "repeat_rate": 0.0, "votes_per_rater": 0, **arena}
    study, folder = make_study(path, **settings)
    database = VoteDatabase(url or schema.sqlite_url(folder.votes_file), KEY)
    database.migrate()
    desk = Desk(study, folder, database, clock or Clock())
    desk.prepare()
    return desk


def arrive(desk):
    return admission.admit(desk.database, {}, now=desk.clock()).rater_id


def vote_all(desk, rater, answer="left", limit=10**6):
    """Answer up to `limit` pairs, attention checks rightly; how many."""
    given = 0
    while given < limit and (held := desk.hand(rater).open):
        desk.vote(rater, held[0].token, held[0].expected or answer, 1.0)
        given += 1
    return given


def log(desk):
    with desk.database.reading() as tx:
        return list(tx.log())


POST = {"X-Arena": "1"}


def start(client, **parameters):
    reply = client.post("/api/start", json={"consent": True, "parameters": parameters}, headers=POST)
    assert reply.status_code == 200, reply.text
    return reply.json()["state"]
