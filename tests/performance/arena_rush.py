"""A launch rush over HTTP: 200 simulated browsers come at once to a study with 100 slots, on a real server.

    python -m tests.performance.arena_rush [--raters 200] [--slots 100] [--out results/arena/rush.json]

Each browser loads the page, agrees, loads its pictures and answers two pairs at a person's pace; one in ten closes the
page without an answer. Nobody is told "done" or "full" before that is so, whoever answered gets a code, and at the end
every slot is voted. Exits 1 where one of these does not hold. The votes are simulated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from arena.db.database import VoteDatabase
from arena.db.proof import verify_database
from arena.db.schema import sqlite_url
from tests.support.arena_server import POST, Server, postgres
from tests.support.arena_study import NAMES, make_study

LIMIT = 2
"""Answers asked of one rater."""
OVER = ("done", "full", "closed", "paused", "screened", "finished")
CODES = {"completed": "DONE", "full": "FULL"}


@dataclass(slots=True)
class Browser:
    """What one browser did and was told."""

    leaves: bool
    votes: int = 0
    pictures: int = 0
    waits: int = 0
    reconnected: int = 0
    """Calls sent again because the connection had been closed."""
    errors: list[str] = field(default_factory=list)
    stage: str = "never came"
    code: str | None = None
    told_at: float = 0.0
    """Seconds since 1970 when the last word was said."""


async def browse(url: str, mine: Browser, rng: random.Random, deadline: float) -> None:
    limits = httpx.Limits(max_connections=2)
    async with httpx.AsyncClient(
        base_url=url, headers=POST, timeout=120, limits=limits, verify=False
    ) as client:

        async def asked(method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
            """As the page does: again until the server answers, for a connection that was closed as well."""
            while True:
                try:
                    reply = await client.request(method, path, json=body)
                    if reply.status_code < 500:
                        return reply
                    mine.errors.append(f"{path} {reply.status_code}")
                except (httpx.ReadError, httpx.RemoteProtocolError):
                    mine.reconnected += 1
                await asyncio.sleep(1)

        async def call(path: str, body: dict[str, Any]) -> dict[str, Any]:
            return (await asked("POST", path, body)).json()

        if (await asked("GET", "/")).status_code != 200:
            mine.errors.append("page")
        state = (await call("/api/start", {"consent": True}))["state"]
        if mine.leaves:
            mine.stage = "left"
            return
        seen: set[str] = set()
        while time.time() < deadline:
            mine.stage, mine.told_at = state["stage"], time.time()
            if state["stage"] in OVER:
                mine.code = state.get("completion_code")
                return
            if state["stage"] == "wait":
                mine.waits += 1
                await asyncio.sleep(state["look_again"])
                state = (await call("/api/state", {}))["state"]
                continue
            for ballot in state["ballots"]:
                for side in ("left", "right"):
                    if ballot[side] not in seen:
                        seen.add(ballot[side])
                        picture = await asked("GET", "/" + ballot[side])
                        mine.pictures += picture.status_code == 200
            await asyncio.sleep(rng.uniform(1.0, 4.0))
            body = {
                "token": state["ballots"][0]["token"],
                "answer": rng.choice(("left", "right", "tie")),
                "seconds": 2.0,
            }
            data = await call("/api/vote", body)
            mine.votes += bool(data.get("saved"))
            state = data.get("state") or (await call("/api/state", {}))["state"]


async def rush(url: str, browsers: list[Browser], deadline: float) -> None:
    tasks = [browse(url, one, random.Random(number), deadline) for number, one in enumerate(browsers)]
    for number, result in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
        if isinstance(result, BaseException):
            browsers[number].errors.append(repr(result))


def untruths(browsers: list[Browser], complete_at: float) -> list[str]:
    """What was said and is not so; complete_at: when the last vote was saved."""
    found = []
    for number, one in enumerate(browsers):
        if one.leaves:
            continue
        if one.errors:
            found.append(f"browser {number}: {one.errors[:3]}")
        if one.stage not in ("done", "full"):
            found.append(f"browser {number} ended at '{one.stage}'")
        if one.stage == "done" and one.votes < LIMIT:
            found.append(f"browser {number} was told 'done' after {one.votes} of {LIMIT}")
        if one.stage == "full" and one.told_at < complete_at:
            found.append(f"browser {number} was told 'full' {complete_at - one.told_at:.1f} s before it was")
        expected = CODES["completed"] if one.votes >= LIMIT else CODES["full"]
        if one.code != expected:
            found.append(f"browser {number} with {one.votes} votes got the code {one.code}, not {expected}")
    return found


def measure(raters: int, slots: int, url: str | None, limit_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        _, folder = make_study(
            Path(scratch) / "s", prompts=max(10, slots // 10), names=NAMES[:2], size=64, questions=("quality",),
            votes_per_pair=slots, votes_per_rater=LIMIT, attention_rate=0.0, repeat_rate=0.0,
            first_vote_minutes=1, completion_code=CODES["completed"], codes={"full": CODES["full"]},
        )  # fmt: skip
        browsers = [Browser(leaves=number % 10 == 9) for number in range(raters)]
        started = time.time()
        with Server(folder.path, database=url) as server:
            started = time.time()
            asyncio.run(rush(server.url, browsers, started + limit_s))
        database = VoteDatabase(
            url or sqlite_url(folder.votes_file), bytes.fromhex((folder.path / "arena.key").read_text())
        )
        with database.reading() as tx:
            pairs, rows = tx.pairs(), list(tx.log())
        proof = verify_database(database)
        database.close()
    voted, wanted, taken = (sum(getattr(p, name) for p in pairs) for name in ("voted", "wanted", "taken"))
    wrong = untruths(browsers, rows[-1].created if rows else 0.0)
    if not voted == taken == wanted == slots == proof.rows:
        wrong.append(f"{voted} voted, {taken} taken of {wanted}; {proof.rows} in the log")
    return {
        "database": "postgresql" if url else "sqlite", "browsers": raters, "slots": slots, "voted": voted,
        "left_without_a_vote": sum(one.leaves for one in browsers),
        "told": dict(Counter(one.stage for one in browsers)), "codes": dict(Counter(str(one.code) for one in browsers)),
        "answers_by_browser": dict(sorted(Counter(one.votes for one in browsers).items())),
        "pictures": sum(one.pictures for one in browsers), "waits": sum(one.waits for one in browsers),
        "sent_again": sum(one.reconnected for one in browsers),
        "last_vote_after_s": round(rows[-1].created - started, 1) if rows else None,
        "everybody_told_after_s": round(max(one.told_at for one in browsers) - started, 1),
        "load_average": round(os.getloadavg()[0], 1), "wrong": wrong,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raters", type=int, default=200)
    parser.add_argument("--slots", type=int, default=100)
    parser.add_argument("--limit", type=float, default=1200, help="Seconds after which it is given up.")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    results = []
    for kind in ("sqlite", "postgresql"):
        if given.only in (None, kind):
            with postgres() if kind == "postgresql" else nullcontext() as server:
                results.append(
                    measure(given.raters, given.slots, server.url if server else None, given.limit)
                )
            print(json.dumps(results[-1], indent=1), flush=True)
    if given.out:
        document = {"simulated": True, "limit_of_a_rater": LIMIT, "runs": results}
        given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if any(one["wrong"] for one in results) else 0)


if __name__ == "__main__":
    main()
