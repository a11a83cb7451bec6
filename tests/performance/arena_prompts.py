"""Whether any prompt is cut off on the rater's page: every PartiPrompt, and one of 400 words, on small screens.

    python -m tests.performance.arena_prompts PARTI.tsv [--out results/arena/prompts.json]

The page draws each prompt as the server's state brings it, in headless Chromium. Counted: prompts of which a part is
not shown, pictures below the least size (256) or unlike each other, pages that scroll without the cue.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tests.support.arena_server import BROWSER_FLAGS, CHROMIUM, Server
from tests.support.arena_study import make_study

SCREENS = {
    "phone, 390 × 844": (390, 844),
    "small phone, 360 × 640": (360, 640),
    "phone on its side, 844 × 390": (844, 390),
    "desktop at 200%, 640 × 400": (640, 400),
}
LEAST = 256
DRAW = """async (prompts) => {
  const part = (name) => document.querySelector(`[data-part="${name}"]`);
  const state = (await (await fetch("api/state", { method: "POST", body: "{}",
    headers: { "X-Arena": "1", "Content-Type": "application/json" } })).json()).state;
  const real = window.fetch;
  const found = [];
  for (const prompt of prompts) {
    for (const ballot of state.ballots) ballot.prompt = prompt;
    window.fetch = (address, ...rest) => String(address).includes("api/state")
      ? Promise.resolve(new Response(JSON.stringify({ state }), { headers: { "Content-Type": "application/json" } }))
      : real(address, ...rest);
    const before = document.body.dataset.ballot;
    part("ballot").dispatchEvent(new CustomEvent("arena:resume", { bubbles: true }));
    while (document.body.dataset.ballot === before) await new Promise((done) => setTimeout(done, 2));
    const words = part("prompt");
    const [one, other] = ["left", "right"].map((side) => part(side).getBoundingClientRect());
    const last = part("answers").getBoundingClientRect();
    found.push({
      cut: words.textContent !== prompt || words.scrollHeight > words.clientHeight + 1
        || words.scrollWidth > words.clientWidth + 1 || words.getBoundingClientRect().right > innerWidth,
      side: one.width, square: one.width === one.height && other.width === one.width && other.height === one.height,
      scrolls: document.documentElement.scrollHeight > innerHeight + 1,
      unseen: last.bottom > innerHeight + 1 && part("cue").hidden,
    });
  }
  window.fetch = real;
  return found;
}"""


def measured(browser: Any, url: str, screen: tuple[int, int], prompts: list[str]) -> dict[str, Any]:
    context = browser.new_context(
        viewport={"width": screen[0], "height": screen[1]}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.set_default_timeout(900_000)
    page.goto(url)
    page.click("#start")
    page.wait_for_selector("body[data-ballot]")
    rows = page.evaluate(DRAW, prompts)
    context.close()
    sides = sorted(row["side"] for row in rows)
    return {
        "prompts": len(rows),
        "cut": sum(row["cut"] for row in rows),
        "below_least_size": sum(row["side"] < LEAST for row in rows),
        "unequal_pictures": sum(not row["square"] for row in rows),
        "side_least": sides[0],
        "side_median": sides[len(sides) // 2],
        "side_most": sides[-1],
        "scrolls": sum(row["scrolls"] for row in rows),
        "answers_out_of_sight_without_cue": sum(row["unseen"] for row in rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prompts", type=Path, help="PartiPrompts.tsv")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with given.prompts.open(encoding="utf-8") as file:
        prompts = [row["Prompt"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    prompts.append(" ".join(f"word{number}" for number in range(400)))
    table = {}
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        _, folder = make_study(Path(scratch) / "s", size=512, votes_per_pair=50, questions=("alignment",))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        with Server(folder.path) as server:
            for name, screen in SCREENS.items():
                table[name] = measured(browser, server.url, screen, prompts)
                print(name, json.dumps(table[name]), flush=True)
        browser.close()
    if given.out:
        given.out.write_text(
            json.dumps({"load_average": os.getloadavg()[0], "screens": table}, indent=1) + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
