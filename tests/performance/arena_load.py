"""A hundred raters at one vote in three seconds, images included; then the highest rate that holds.

    python -m tests.performance.arena_load [--seconds 300] [--raters 100] [--database postgresql://…]
    python -m tests.performance.arena_load --rows   # choosing a pair with 1k to 1M votes in the tables

Prints errors, and p50/p95/p99 of a vote's answer in milliseconds, as the client saw it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from tests.arena.study import make_study
from tests.end_to_end.arena_server import POST, Server


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


async def load(url: str, raters: int, seconds: float, pace: float) -> dict[str, list[float]]:
    out: dict[str, list[float]] = {"vote": [], "image": [], "error": []}
    stop = time.time() + seconds
    await asyncio.gather(*(browse(url, stop, pace, out) for _ in range(raters)))
    return out


def report(label: str, out: dict[str, list[float]], seconds: float) -> float:
    p50, p95, p99 = np.percentile(np.array(out["vote"]) * 1000, [50, 95, 99])
    image = np.percentile(np.array(out["image"]) * 1000, 95)
    print(
        f"{label}: {len(out['vote'])} votes ({len(out['vote']) / seconds:.1f}/s), {len(out['error'])} errors, "
        f"vote p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} ms, image p95 {image:.0f} ms",
        flush=True,
    )
    return float(p95)


def rows() -> None:
    """Time to hand out and save one vote while the tables hold more and more votes of 10,000 raters."""
    from sqlalchemy import insert

    from arena import raters, schema
    from arena.ballots import Ballots
    from arena.desk import Desk

    with tempfile.TemporaryDirectory() as scratch:
        study, folder = make_study(
            Path(scratch) / "s",
            prompts=200,
            size=16,
            votes_per_pair=10**7,
            attention_rate=0.0,
            repeat_rate=0.0,
        )
        ballots = Ballots(schema.sqlite_url(folder.votes_file), bytes(32))
        ballots.migrate()
        desk = Desk(study, folder, ballots, time.time)
        desk.prepare()
        with ballots.writing() as tx:
            made = [
                {"id": f"r{i}", "created": 0.0, "group_label": "", "issued": 0, "voted": 0}
                for i in range(10_000)
            ]
            tx.db.execute(insert(schema.raters), [{**r, "simulated": True} for r in made])
        there = 0
        for goal in (1_000, 10_000, 100_000, 1_000_000):
            with ballots.writing() as tx:
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
            took = []
            rater = raters.admit_simulated(ballots, seed=0, now=time.time())
            for _ in range(300):
                started = time.perf_counter()
                one = desk.hand(rater).open[0]
                desk.vote(rater, one.token, "left", None)
                took.append(time.perf_counter() - started)
            there = goal + 300
            p50, p95 = np.percentile(np.array(took) * 1000, [50, 95])
            print(f"{goal:>9,} votes: hand out and save p50 {p50:.1f} ms, p95 {p95:.1f} ms", flush=True)
        ballots.close()


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
    parser.add_argument("--database")
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--climb", action="store_true", help="also look for the highest rate that holds")
    given = parser.parse_args()
    if given.rows:
        rows()
        return
    with tempfile.TemporaryDirectory() as scratch:
        _, folder = make_study(Path(scratch) / "s", prompts=100, size=512, votes_per_pair=10**6)
        with Server(folder.path, given.database) as server:
            out = asyncio.run(load(server.url, given.raters, given.seconds, 3.0))
            report(f"{given.raters} raters, a vote in 3 s", out, given.seconds)
            pace = 3.0
            while given.climb and pace > 0.3:
                pace /= 1.4
                out = asyncio.run(load(server.url, given.raters, 30, pace))
                if report(f"{given.raters} raters, a vote in {pace:.2f} s", out, 30) > 300 or out["error"]:
                    break


if __name__ == "__main__":
    main()
