"""Every state of the rater's page in a real browser, in one session: for axe-core and for screenshots.

    python -m tests.support.rater_states FOLDER

writes a picture of each state on each screen into FOLDER, and `axe.md`: violations by state, screen, language and
colour scheme. axe-core comes from the package axe-playwright-python (extra `dev`) and is no part of this suite.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.support.arena_server import BROWSER_FLAGS, CHROMIUM, Server

SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {
        "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2,
    },
    "phone on its side": {
        "viewport": {"width": 844, "height": 390}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2,
    },
    "200%": {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
    "400%": {"viewport": {"width": 320, "height": 200}, "device_scale_factor": 4},
}  # fmt: skip


def scroll_over(page: Any) -> None:
    """Pass over the whole page, as a person does before answering where it does not fit."""
    page.evaluate("scrollTo(0, 0)")
    for _ in range(12):
        page.mouse.wheel(0, 90)
        page.wait_for_timeout(40)


def vote(page: Any) -> None:
    scroll_over(page)
    page.wait_for_timeout(260)
    page.click("[data-part=answers] button[data-answer=left]")


def _number(page: Any) -> int:
    return int(page.evaluate("document.body.dataset.ballot ?? 0"))


def states(page: Any, url: str) -> Iterator[str]:
    """Walk through the page; yields the name of each state while the page is in it.

    The study asks for a break after three answers, has no limit a rater, and allows no fewer than five answers.
    """
    held: list[Any] = []
    page.goto(url)
    page.wait_for_selector("#start", state="visible")
    yield "welcome"
    page.route("**/i/*", lambda route: held.append(route))
    page.click("#start")
    page.wait_for_selector(".ballot.loading")
    yield "pictures loading"
    for route in held:
        route.abort()
    page.unroute("**/i/*")
    page.reload()
    page.wait_for_selector("body[data-ballot='1']")
    page.wait_for_timeout(300)
    yield "vote"
    page.click("[data-part=more]")
    yield "menu"
    page.click("[data-part=instructions]")
    yield "instructions"
    page.click("[data-part=instructions-dialog] [data-close]")
    page.click("[data-part=more]")
    page.click("[data-part=report]")
    yield "report"
    page.click("[data-part=report-dialog] [data-close]")
    page.keyboard.press("z")
    yield "zoomed"
    page.keyboard.press("Escape")
    yield from _later_states(page)


def _later_states(page: Any) -> Iterator[str]:
    for _ in range(3):
        at = _number(page)
        vote(page)
        page.wait_for_selector(f"body[data-ballot='{at + 1}']")
    page.wait_for_selector("#rest", state="visible")
    yield "break"
    page.click("#continue")
    page.wait_for_timeout(300)
    page.context.set_offline(True)
    vote(page)
    page.wait_for_selector(".notice.alert")
    yield "not saved"
    page.context.set_offline(False)
    page.wait_for_selector("body[data-ballot='5']")
    page.click("[data-part=more]")
    page.click("[data-part=finish]")
    page.wait_for_selector("#end", state="visible")
    yield "end"
    page.click("#resume")
    page.wait_for_selector("#voting", state="visible")
    page.set_viewport_size({"width": 240, "height": 400})
    page.wait_for_selector("[data-part=too-small]", state="visible")
    yield "too small"


def violations(page: Any) -> list[str]:
    """What axe-core finds: rule and the first elements concerned."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [f"{rule['id']}: {'; '.join(n['html'][:120] for n in rule['nodes'][:3])}" for rule in found]


def walk(
    browser: Any, url: str, screen: str, language: str, scheme: str, keep: Path | None
) -> dict[str, list[str]]:
    """State → violations, on one screen; with `keep` a picture of each state goes there."""
    context = browser.new_context(**SCREENS[screen], color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    result = {}
    for state in states(page, f"{url}/{language}"):
        result[state] = violations(page)
        if keep is not None:
            name = "-".join((screen, language, scheme, state)).replace(" ", "_").replace("%", "")
            page.screenshot(path=keep / f"{name}.png")
    context.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    out = parser.parse_args().folder
    out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    from tests.support.arena_pictures import make_study

    lines = ["| screen | language | scheme | states | violations |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = make_study(Path(scratch) / "drawn", votes_per_rater=None)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        with Server(folder.path) as server:
            for screen in SCREENS:
                for language, scheme in (("en", "light"), ("ar", "dark")):
                    found = walk(browser, server.url, screen, language, scheme, out)
                    broken = "; ".join(f"{s}: {', '.join(v)}" for s, v in found.items() if v) or "none"
                    lines.append(f"| {screen} | {language} | {scheme} | {len(found)} | {broken} |")
                    print(lines[-1], flush=True)
        browser.close()
    (out / "axe.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
