"""The published site in a real headless Chromium: opened from a disk and through a plain web server."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.export.publish import publish
from tests.support.report_study import TURBO, make_study

pytestmark = pytest.mark.browser

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"> fox"
WAIT = 60_000


class Quiet(SimpleHTTPRequestHandler):
    """Python's plain file server, without its log."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_study(
        tmp_path_factory.mktemp("study") / "site",
        side=24,
        votes=True,
        rich=True,
        missing=(("sdxl@50", 1),),
        prompts=("a red fox", HOSTILE, "قطة على الطاولة", "一只猫"),
        sizes={"sdxl@50": 48},
    )
    return publish(folder, tmp_path_factory.mktemp("out") / "site").parent


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        yield chromium
        chromium.close()


@pytest.mark.parametrize("where", ["disk", "server"])
def test_the_site_leads_to_report_gallery_and_comparison(
    site: Path, server: str, browser, where: str
) -> None:
    base = site.as_uri() if where == "disk" else server
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    problems: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{base}/index.html")
    page.get_by_role("link", name="Gallery").click()
    page.wait_for_selector("#rows .row", timeout=WAIT)
    assert page.locator("#rows .row").count() == 4
    assert page.locator("#rows .none").count() == 1
    page.get_by_label("Words of the prompt, or its id").fill("fox")
    assert page.evaluate("window.gallery.order()") == [["p000", 0], ["p001", 0]]
    page.get_by_label("Contenders (none chosen: all)").select_option([TURBO[1], TURBO[3]])
    assert page.locator("#rows .row").first.locator("figure").count() == 2
    page.locator("#rows .row").first.locator("figure button").last.click()
    page.wait_for_function(
        "[...document.querySelectorAll('dialog.compare .stage img')].every(i => i.complete && i.naturalWidth)",
        timeout=WAIT,
    )
    widths = page.evaluate(
        "[...document.querySelectorAll('dialog.compare .stage img')].map(i => i.naturalWidth)"
    )
    assert widths == [48, 24]
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.goto(f"{base}/index.html")
    page.get_by_role("link", name="Report").click()
    page.wait_for_selector("#answer", timeout=WAIT)
    assert page.title() == "Turbo against its rivals"
    assert problems == []
    assert [url for url in asked if not url.startswith((base, "data:"))] == []
    page.close()
