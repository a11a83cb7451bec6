"""Whether a rater's browser can tell a model: a whole session recorded in headless Chromium, then searched.

    python -m tests.performance.arena_blindness [--answers 54] [--out results/arena/blindness.json]

One rater gives all answers on the Gradio page, attention checks and repeats among them. Every address, header, body,
cookie, stored item and the document itself are recorded. Searched for: names of contenders, models, study, prompts
and folders, seeds and hashes of the files; the pictures' files may hold nothing but pixels. Then every picture the
browser got is matched with the contender that the database names, and its length, headers and times, as the page's own
clock has them (resource timing), are compared between contenders. The files differ as real ones do: 512, 1024 and 1536
pixels, finer detail with each, metadata that names the model.

Times: Kruskal-Wallis between contenders, and between attention checks and the rest. So that "nothing seen" says
something, a delay is then added to the recorded times of one contender, and the least that the same test sees in 95
of 100 random orders of the session's noise is stated.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kruskal

from arena.admission import server_key
from arena.db import schema
from arena.db.database import VoteDatabase
from arena.db.vote_log import standing
from tests.support.arena_server import BROWSER_FLAGS, CHROMIUM, Server
from tests.support.arena_study import NAMES, make_study

PLANTED = (5, 10, 15, 20, 30, 40, 60, 80, 100)
"""Milliseconds added to one contender's times, to find the least that would be seen."""
LEVEL = 0.01
"""Of the tests."""


class Recorder:
    """What a page's network brings, as Chromium itself reports it."""

    def __init__(self, page: Any) -> None:
        self.requests: dict[str, dict[str, Any]] = {}
        self.session = page.context.new_cdp_session(page)
        self.session.send("Network.enable", {"maxTotalBufferSize": 2**28, "maxResourceBufferSize": 2**26})
        for event, handler in (
            ("requestWillBeSent", self._sent),
            ("responseReceived", self._received),
            ("responseReceivedExtraInfo", self._headers),
            ("loadingFinished", self._finished),
        ):
            self.session.on(f"Network.{event}", handler)

    def _of(self, event: Mapping[str, Any]) -> dict[str, Any]:
        return self.requests.setdefault(event["requestId"], {})

    def _sent(self, event: Mapping[str, Any]) -> None:
        self._of(event).update(url=event["request"]["url"], sent=event["timestamp"])

    def _received(self, event: Mapping[str, Any]) -> None:
        self._of(event).update(first=event["timestamp"], status=event["response"]["status"])

    def _headers(self, event: Mapping[str, Any]) -> None:
        self._of(event)["headers"] = event["headersText"] if event.get("headersText") else event["headers"]

    def _finished(self, event: Mapping[str, Any]) -> None:
        request = self._of(event)
        request.update(last=event["timestamp"], length=event["encodedDataLength"])
        try:
            body = self.session.send("Network.getResponseBody", {"requestId": event["requestId"]})
            request["body"] = b64decode(body["body"]) if body["base64Encoded"] else body["body"].encode()
        except Exception as error:  # Chromium drops bodies of a page that was left; the audit counts them
            request["lost"] = str(error)[:80]


def session(url: str, answers: int) -> tuple[list[dict[str, Any]], list[str], list[dict[str, Any]]]:
    """Requests of a whole session, all else a script of the page could read after each pair, and its clock."""
    from playwright.sync_api import sync_playwright

    readable = """() => [document.documentElement.outerHTML, document.cookie, JSON.stringify(localStorage),
        JSON.stringify(sessionStorage), JSON.stringify(performance.getEntriesByType("resource").map((e) => e.name))]"""
    seen: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script("performance.setResourceTimingBufferSize(10000)")
        recorder = Recorder(page)
        page.goto(url)
        page.click("#start")
        for number in range(1, answers + 1):
            page.wait_for_selector(f"body[data-ballot='{number}']")
            page.wait_for_timeout(350)
            seen += page.evaluate(readable)
            page.keyboard.press(("ArrowLeft", "ArrowRight", "ArrowDown")[number % 3])
        page.wait_for_selector("#end", state="visible")
        seen += page.evaluate(readable)
        clock = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.toJSON())")
        browser.close()
    return list(recorder.requests.values()), seen, clock


def giveaways(folder: Any) -> dict[str, str]:
    """Text that would tell → what it is."""
    words = {name: "a contender" for name in NAMES} | {n.split("@")[0]: "a model" for n in NAMES}
    words |= {"secret-name": "the study", str(folder.path): "its folder"}
    words |= {"generations": "a file of the study", "votes.sqlite": "the database"}
    for row in folder.generations().values():
        words |= {row.sha256: "the hash of a file", row.sha256[:12]: "the hash of a file"}
        words |= {str(row.seed): "a seed", row.prompt_id + '"': "a prompt's id"}
    return words


def leaks(requests: Sequence[Mapping[str, Any]], seen: Sequence[str], words: Mapping[str, str]) -> list[str]:
    """Where one of the words was found; random tokens are left out, for they may spell anything."""
    found = []
    for request in requests:
        path, body = re.sub(r"/i/[\w-]+", "/i/", request["url"]), request.get("body", b"")
        headers = re.sub(r"(?i)set-cookie.*?(?=[\"\r\n])", "", json.dumps(request.get("headers", "")))
        if body[:4] == b"RIFF":  # pixels may spell anything; what is not pixels may not be there
            found += [f"{chunk!r} in the picture {path}" for chunk in chunks(body) if chunk != b"VP8L"]
            body = b""
        text = re.sub(r'"(token|left|right|reference)": ?"[^"]*"', "", body.decode("utf-8", "replace"))
        for place, value in (("address", path), ("headers", headers), ("body", text)):
            found += [f"{what} in the {place} of {path}" for word, what in words.items() if word in value]
    for text in seen:
        text = re.sub(r"/i/[\w-]+|blob:[^\"]+", "", text)
        found += [f"{what} in the page" for word, what in words.items() if word in text]
    return sorted(set(found))


def chunks(webp: bytes) -> list[bytes]:
    """Names of the chunks of a WebP file."""
    names, at = [], 12
    while at < len(webp):
        names.append(webp[at : at + 4])
        at += 8 + int.from_bytes(webp[at + 4 : at + 8], "little")
    return names


def answered(folder: Any) -> tuple[dict[str, tuple[str, str]], int]:
    """Token of each picture → contender and kind, as the database has them; and the number of answers."""
    database = VoteDatabase(schema.sqlite_url(folder.votes_file), server_key(folder.path))
    owner: dict[str, tuple[str, str]] = {}
    with database.reading() as tx:
        votes = standing(list(tx.log()))
        for one in [tx.assignment(vote.assignment_id) for vote in votes]:
            owner[one.left_token] = (one.left, one.left_change or one.kind)
            owner[one.right_token] = (one.right, one.right_change or one.kind)
    database.close()
    return owner, len(votes)


def pictures(
    clock: Sequence[Mapping[str, Any]], owner: Mapping[str, tuple[str, str]]
) -> list[dict[str, Any]]:
    """A row a picture, as a script of the page could measure it, with the contender that the database names."""
    rows = []
    for entry in clock:
        token = entry["name"].rpartition("/i/")[2]
        if token in owner:
            contender, kind = owner[token]
            rows.append(
                {
                    "contender": contender,
                    "kind": kind,
                    "bytes": entry["transferSize"],
                    "first_byte_ms": round(entry["responseStart"] - entry["requestStart"], 2),
                    "last_byte_ms": round(entry["responseEnd"] - entry["requestStart"], 2),
                }
            )
    return rows


def header_sets(requests: Sequence[Mapping[str, Any]]) -> int:
    """Different answers to the requests for pictures, by their headers without the date."""
    found = set()
    for request in requests:
        if "/i/" in request.get("url", "") and "headers" in request:
            headers = request["headers"]
            lines = (
                headers.splitlines()
                if isinstance(headers, str)
                else [f"{k}: {v}" for k, v in headers.items()]
            )
            found.add(tuple(sorted(line for line in lines if not line.lower().startswith("date"))))
    return len(found)


def p_value(groups: Sequence[Any]) -> float:
    return float(kruskal(*groups).pvalue) if len({v for g in groups for v in g}) > 1 else 1.0


def least_seen(rows: Sequence[Mapping[str, Any]], column: str) -> int | None:
    """Milliseconds added to one contender that the test sees in 95 of 100 random assignments of these times."""
    times = np.array([row[column] for row in rows])
    owners = np.array([row["contender"] for row in rows])
    rng = np.random.default_rng(0)
    for planted in PLANTED:
        hits = 0
        for _ in range(100):
            mixed = rng.permutation(times) + planted * (owners == NAMES[0])
            hits += p_value([mixed[owners == name] for name in NAMES]) < LEVEL
        if hits >= 95:
            return planted
    return None


def compared(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Length and times between contenders, and between attention checks and the rest."""
    result: dict[str, Any] = {"pictures": len(rows), "lengths": sorted({row["bytes"] for row in rows})}
    split: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "contender": lambda row: row["contender"],
        "check": lambda row: "check" if row["kind"] in ("check", "degraded") else "vote",
    }
    for column in ("first_byte_ms", "last_byte_ms"):
        entry: dict[str, Any] = {"least_delay_seen_ms": least_seen(rows, column)}
        for by, key in split.items():
            groups: dict[str, list[float]] = {}
            for row in rows:
                groups.setdefault(key(row), []).append(row[column])
            entry[by] = {
                "p": round(p_value(list(groups.values())), 4),
                "median_ms": {name: round(float(np.median(v)), 1) for name, v in sorted(groups.items())},
                "n": {name: len(v) for name, v in sorted(groups.items())},
            }
        result[column] = entry
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=int, default=54)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        _, folder = make_study(
            Path(scratch) / "s", prompts=20, size=512, votes_per_pair=10**4, votes_per_rater=given.answers,
            break_after=10**6, attention_rate=0.1, repeat_rate=0.1,
        )  # fmt: skip
        with Server(folder.path) as server:
            requests, seen, clock = session(server.url, given.answers)
        owner, answers = answered(folder)
        found = leaks(requests, seen, giveaways(folder))
        rows = pictures(clock, owner)
        files: dict[str, list[int]] = {name: [] for name in NAMES}
        for row in folder.generations().values():
            files[row.contender].append(row.bytes)
    said = {
        "what": "programs vote on random blocks: nothing here says anything about a model",
        "answers": answers,
        "requests": len(requests),
        "bodies_not_kept_by_the_browser": sum("lost" in r for r in requests),
        "documents_read": len(seen),
        "leaks": found,
        "bytes_of_the_files": {name: [min(v), max(v)] for name, v in files.items()},
        "sets_of_headers": header_sets(requests),
        **compared(rows),
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(said, indent=1))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps({**said, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
