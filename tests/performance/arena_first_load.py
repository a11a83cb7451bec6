"""Bytes, requests and seconds from the address to the first pair, in a real browser on throttled networks.

    python tests/performance/arena_first_load.py [--out results/arena/first_load.json]

A phone in Chromium; the network is throttled by the browser, the processor is this machine's, whose load is in the
result. `consent`: the page can be read and agreed to; `pair`: from that press to two pictures on screen, and an
answer possible. `question_first`: whether question and prompt were on screen before any picture.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.arena_pictures import make_study
from tests.support.arena_server import BROWSER_FLAGS, CHROMIUM, Server
from tests.support.rater_states import SCREENS

NETWORKS = {  # name → bytes a second, ms there and back; 4G as in Chromium's developer tools
    "unthrottled": None,
    "fast 4G": (9e6 * 0.9 / 8, 60),
    "slow 4G": (1.6e6 * 0.9 / 8, 150),
    "400 kbit/s": (4e5 / 8, 300),
}


def visit(browser: Any, url: str, network: tuple[float, float] | None) -> dict[str, Any]:
    context = browser.new_context(**SCREENS["phone"])
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    if network is not None:
        rate, latency = network
        conditions = {
            "offline": False,
            "latency": latency,
            "downloadThroughput": rate,
            "uploadThroughput": rate,
        }
        session.send("Network.emulateNetworkConditions", conditions)
    loaded = {"bytes": 0.0, "requests": 0}

    def count(event: dict[str, Any]) -> None:
        loaded["bytes"] += event["encodedDataLength"]
        loaded["requests"] += 1

    session.on("Network.loadingFinished", count)
    page.set_default_timeout(180_000)
    started = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector("#start", state="visible")
    consent = time.perf_counter()
    page_bytes, page_requests = loaded["bytes"], loaded["requests"]
    page.click("#start")
    page.wait_for_selector("[data-part=question]:not(:empty)", state="visible")
    question = time.perf_counter()
    early = not page.evaluate("document.body.dataset.ballot === '1'")
    page.wait_for_selector("body[data-ballot='1']")
    pair = time.perf_counter()
    context.close()
    return {
        "page_kb": round(page_bytes / 1e3),
        "page_requests": page_requests,
        "consent_s": round(consent - started, 2),
        "question_s": round(question - consent, 2),
        "pair_s": round(pair - consent, 2),
        "sum_s": round(pair - started, 2),
        "question_first": early,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    from playwright.sync_api import sync_playwright

    result: dict[str, Any] = {"cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = make_study(Path(scratch) / "drawn")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        with Server(folder.path) as server:
            visit(browser, server.url, None)  # the server's own first answer
            for name, network in NETWORKS.items():
                result[name] = visit(browser, server.url, network)
                print(name, json.dumps(result[name]), flush=True)
        browser.close()
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
