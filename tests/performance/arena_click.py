"""From the rater's key to both pictures of the next pair painted, in a real headless Chromium.

    python -m tests.performance.arena_click [--votes 60] [--out results/arena/click.json]

Milliseconds on the browser's own clock: from the key event to the first frame after both pictures are decoded, the
vote saved on the disk in between. SQLite, 512 pixels, one rater at a vote in 1.5 s; browser and server share the
cores. Beside it the bare floor of the same browser: from a key to the frame after an attribute was changed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.arena_server import BROWSER_FLAGS, CHROMIUM, Server
from tests.support.arena_study import make_study

WATCH = """() => {
  window.took = []; window.saved = []; window.floor = [];
  let pressed = 0;
  const painted = (then) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => then(performance.now());
    channel.port2.postMessage(0);
  });
  addEventListener("keydown", (event) => {
    pressed = event.timeStamp;
    if (event.key !== "x") return;
    document.body.dataset.floor = String(pressed);
    painted((now) => floor.push(now - event.timeStamp));
  }, true);
  new MutationObserver(async () => {
    const begun = pressed;
    await Promise.all(["left", "right"].map((id) => document.querySelector(`[data-part=${id}] img`).decode()));
    painted((now) => took.push(now - begun));
  }).observe(document.body, { attributes: true, attributeFilter: ["data-ballot"] });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name.includes("/api/vote")) saved.push(entry.duration);
  }).observe({ type: "resource" });
}"""
WAIT = """(number) => new Promise((done) => {
  const look = setInterval(() => { if (took.length >= number) done(clearInterval(look)); }, 20);
})"""


def session(url: str, votes: int) -> dict[str, list[float]]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        page.click("#start")
        page.wait_for_selector("body[data-ballot]")
        page.evaluate(WATCH)
        for number in range(votes):
            page.wait_for_timeout(1000)
            page.keyboard.press("x")  # answers nothing
            page.wait_for_timeout(500)
            page.keyboard.press(("ArrowLeft", "ArrowRight", "ArrowDown")[number % 3])
            page.evaluate(WAIT, number + 1)
        found: dict[str, Any] = page.evaluate("({ took, saved, floor })")
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--votes", type=int, default=60)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        _, folder = make_study(
            Path(scratch) / "s", prompts=30, size=512, votes_per_pair=10**4, break_after=10**6
        )
        with Server(folder.path) as server:
            found = session(server.url, given.votes)
    table = {
        name: {f"p{q}_ms": round(float(np.percentile(found[name], q)), 1) for q in (50, 95, 100)}
        for name in ("took", "saved", "floor")
    }
    said = {"votes": given.votes, "cores": os.cpu_count(), "load_average": os.getloadavg()[0], **table}
    print(json.dumps(said, indent=1))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
