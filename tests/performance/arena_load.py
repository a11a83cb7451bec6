"""A hundred raters at one vote in three seconds, images included; then the highest rate that holds.

    python -m tests.performance.arena_load [--seconds 300] [--raters 100] [--postgres] [--out results/arena/load.json]
    python -m tests.performance.arena_load --seconds 30 --climb   # faster and faster until it does not hold
    python -m tests.performance.arena_load --rows   # choosing a pair with 1k to 1M votes in the tables

Prints errors, p50/p95/p99 of a vote's answer in milliseconds as the client saw it, and the CPU time a vote of
server and client, which does not change when other work shares the machine. Client and server share the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import httpx
import numpy as np

from tests.support.arena_server import POST, Server, postgres
from tests.support.arena_study import make_study


async def browse(url: str, stop: float, pace: float, out: dict[str, list[float]]) -> None:
    async with httpx.AsyncClient(base_url=url, headers=POST, timeout=30) as client:
        await asyncio.sleep(random.random() * pace)
        state = (await client.post("/api/start", json={"consent": True})).json()["state"]
        seen: set[str] = set()
        while time.time() < stop and state["stage"] == "vote":
            begun = time.time()
            for ballot in state["ballots"]:
                for side in ("left", "right"):
                    if ballot[side] not in seen:
                        seen.add(ballot[side])
                        started = time.perf_counter()
                        reply = await client.get("/" + ballot[side])
                        out["image"].append(time.perf_counter() - started)
                        if reply.status_code != 200:
                            out["error"].append(reply.status_code)
            await asyncio.sleep(max(0.0, pace * random.uniform(0.7, 1.3) - (time.time() - begun)))
            body = {
                "token": state["ballots"][0]["token"],
                "answer": random.choice(("left", "right", "tie")),
                "seconds": 1.0,
            }
            started = time.perf_counter()
            reply = await client.post("/api/vote", json=body)
            out["vote"].append(time.perf_counter() - started)
            if reply.status_code != 200 or not reply.json().get("saved"):
                out["error"].append(reply.status_code)
                return
            state = reply.json()["state"]


async def load(
    url: str, raters: int, seconds: float, pace: float, warm: float, begin: Callable[[], None]
) -> dict[str, list[float]]:
    """Seconds of every vote and image and the status of every error; those of the first `warm` seconds, when all
    raters arrive at once, are not kept, and `begin` is called when they are over."""
    out: dict[str, list[float]] = {"vote": [], "image": [], "error": []}
    stop = time.time() + warm + seconds

    async def forget() -> None:
        await asyncio.sleep(warm)
        out["vote"].clear()
        out["image"].clear()
        begin()

    async def person() -> None:
        try:
            await browse(url, stop, pace, out)
        except httpx.HTTPError:
            out["error"].append(0)

    await asyncio.gather(forget(), *(person() for _ in range(raters)))
    return out


def cpu_seconds(process_id: int) -> float:
    """User and system time of a process so far (Linux)."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(server: Server, raters: int, seconds: float, pace: float, warm: float = 0.0) -> dict[str, float]:
    """One row: the traffic, errors, percentiles in milliseconds, and what a vote costs the server."""
    assert server.process is not None
    process_id = server.process.pid
    before: list[float] = []

    def clocks() -> list[float]:
        return [time.perf_counter(), cpu_seconds(process_id), time.process_time()]

    out = asyncio.run(load(server.url, raters, seconds, pace, warm, lambda: before.extend(clocks())))
    wall, spent, own = (now - then for now, then in zip(clocks(), before, strict=True))
    p50, p95, p99 = np.percentile(np.array(out["vote"]) * 1000, [50, 95, 99])
    votes = len(out["vote"])
    row = {
        "raters": raters, "pace_s": pace, "seconds": wall, "votes": votes, "votes_per_s": votes / wall,
        "errors": len(out["error"]), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
        "image_p95_ms": float(np.percentile(np.array(out["image"]) * 1000, 95)),
        "server_cpu_ms_per_vote": 1000 * spent / max(votes, 1),
        "client_cpu_ms_per_vote": 1000 * own / max(votes, 1), "load_average": os.getloadavg()[0],
    }  # fmt: skip
    print(
        f"{raters} raters, a vote in {pace:.2f} s: {votes} votes ({votes / wall:.1f}/s), {len(out['error'])} "
        f"errors, vote p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} ms, image p95 {row['image_p95_ms']:.0f} ms, "
        f"{row['server_cpu_ms_per_vote']:.1f} ms of server CPU a vote, {row['client_cpu_ms_per_vote']:.1f} of client "
        f"CPU, load {row['load_average']:.1f}",
        flush=True,
    )
    return {name: round(float(value), 2) for name, value in row.items()}


def rows() -> list[dict[str, float]]:
    """Time to hand out and save one vote while the tables hold more and more votes of 10,000 raters."""
    from sqlalchemy import insert

    from arena import admission
    from arena.db import schema
    from arena.db.database import VoteDatabase
    from arena.voting import Desk

    with tempfile.TemporaryDirectory() as scratch:
        study, folder = make_study(
            Path(scratch) / "s",
            prompts=200,
            size=16,
            votes_per_pair=10**7,
            attention_rate=0.0,
            repeat_rate=0.0,
        )
        database = VoteDatabase(schema.sqlite_url(folder.votes_file), bytes(32))
        database.migrate()
        desk = Desk(study, folder, database, time.time)
        desk.prepare()
        with database.writing() as tx:
            made = [
                {"id": f"r{i}", "created": 0.0, "group_label": "", "issued": 0, "voted": 0}
                for i in range(10_000)
            ]
            tx.db.execute(insert(schema.raters), [{**r, "simulated": True} for r in made])
        there, table = 0, []
        for goal in (1_000, 10_000, 100_000, 1_000_000):
            with database.writing() as tx:
                for first in range(there, goal, 50_000):
                    block = range(first, min(goal, first + 50_000))
                    tx.db.execute(insert(schema.assignments), [_filler(i) for i in block])
                    tx.db.execute(
                        insert(schema.votes),
                        [
                            {"seq": i + 1, "assignment_id": i + 1, "revision": 0, "answer": "left",
                             "seconds": 1.0, "created": 0.0, "hash": "0" * 64}
                            for i in block
                        ],
                    )  # fmt: skip
                tx.set_setting("chain", f"{goal}:{'0' * 64}")
            took, worked = [], []
            rater = admission.admit_simulated(database, seed=0, now=time.time())
            for _ in range(300):
                started, busy = time.perf_counter(), time.process_time()
                one = desk.hand(rater).open[0]
                desk.vote(rater, one.token, "left", None)
                took.append(time.perf_counter() - started)
                worked.append(time.process_time() - busy)
            there = goal + 400  # past what was handed out here
            p50, p95 = np.percentile(np.array(took) * 1000, [50, 95])
            c50, c95 = np.percentile(np.array(worked) * 1000, [50, 95])
            print(
                f"{goal:>9,} votes: hand out and save p50 {p50:.1f} ms, p95 {p95:.1f} ms; "
                f"CPU p50 {c50:.1f} ms, p95 {c95:.1f} ms",
                flush=True,
            )
            row = {"votes": goal, "p50_ms": p50, "p95_ms": p95, "cpu_p50_ms": c50, "cpu_p95_ms": c95}
            table.append({name: round(float(value), 2) for name, value in row.items()})
        database.close()
        return table


def _filler(i: int) -> dict[str, object]:
    return {
        "id": i + 1, "token": f"t{i}", "left_token": f"l{i}", "right_token": f"g{i}", "rater_id": f"r{i % 10_000}",
        "number": i // 10_000, "kind": "vote", "question": "quality", "prompt_id": f"secret{i % 200}",
        "replicate": 0, "left": "sdxl-turbo@1", "right": "sdxl@50", "left_change": "", "right_change": "",
        "expected": "", "scene": f"filler {i}", "probability": 1.0, "prompt_probability": 1.0, "issued": 0.0,
        "expires": 0.0, "state": "voted", "revision": 0,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--raters", type=int, default=100)
    parser.add_argument("--postgres", action="store_true", help="a PostgreSQL of its own instead of SQLite")
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--climb", action="store_true", help="also look for the highest rate that holds")
    parser.add_argument("--out", type=Path, help="JSON file; what is measured here replaces its part")
    given = parser.parse_args()
    if given.rows:
        keep(given.out, "rows", rows())
        return
    with (
        tempfile.TemporaryDirectory() as scratch,
        postgres() if given.postgres else nullcontext() as database,
    ):
        _, folder = make_study(Path(scratch) / "s", prompts=100, size=512, votes_per_pair=10**6)
        with Server(folder.path, database.url if database else None) as server:
            part = ("postgresql" if given.postgres else "sqlite") + (" climb" if given.climb else "")
            warm, pace = 6.0 if given.climb else 0.0, 3.0
            table = [measured(server, given.raters, given.seconds, pace, warm)]
            keep(given.out, part, table)
            while given.climb and pace > 0.3 and table[-1]["p95_ms"] < 300 and not table[-1]["errors"]:
                pace /= 1.4
                table.append(measured(server, given.raters, given.seconds, pace, warm))
                keep(given.out, part, table)


def keep(path: Path | None, part: str, table: list[dict[str, float]]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    said = json.loads(path.read_text()) if path.exists() else {}
    said[part] = {"cores": os.cpu_count(), "table": table}
    path.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
