"""The report in a real browser: nothing overflows, nothing is fetched, no prompt is run as code."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.report.build import build
from tests.support.report_study import make_study

pytestmark = pytest.mark.browser

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
LONG = " ".join(f"word{i}" for i in range(400))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_study(
        tmp_path_factory.mktemp("page") / "page",
        votes=True,
        missing=(("sdxl@50", 1),),
        sizes={"sdxl@50": 192},
        prompts=(
            "a red fox",
            HOSTILE,
            "قطة على الطاولة وتنظر",
            "一只猫坐在窗台上看着雨" * 12,
            "🦊🌨️",
            LONG,
            "x" * 200,
        ),
    )
    return build(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        yield chromium
        chromium.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_page_fits_loads_and_compares(index: Path, browser, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(index.as_uri())

    assert page.evaluate("document.documentElement.scrollWidth") == width
    outside = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll") &&
             e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120))"""
    )
    assert outside == []
    broken = page.evaluate(
        """async () => { const all = [...document.querySelectorAll("main img")];
             all.forEach(i => { i.loading = "eager"; });
             await Promise.all(all.map(i => i.decode().catch(() => null)));
             return [all.length, all.filter(i => !i.naturalWidth).length]; }"""
    )
    # 7 prompts × 5 contenders and 3 × 3 in the steps grid, less what failed; four figures.
    assert broken[0] >= 34 + 9 + 4
    assert broken[1] == 0
    assert page.title() == "Turbo against its rivals"
    assert page.locator(".prompt", has_text="قطة").first.evaluate("e => e.matches(':dir(rtl)')")

    assert page.evaluate("document.documentElement.scrollHeight") < (12_000 if width == 1280 else 24_000)
    cut = page.evaluate(
        """() => [...document.querySelectorAll(".scroll:not(.matrix)")].filter(e => e.clientWidth &&
             e.scrollWidth > e.clientWidth + 1).map(e => e.getAttribute("aria-label"))"""
    )
    assert cut == [] or width == 390
    page.evaluate("document.querySelectorAll('details.fold').forEach(e => { e.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    longest = page.locator("details:not(.fold)", has_text="word399").last
    assert not longest.evaluate("e => e.open")
    longest.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width

    panes = page.locator("dialog .pane")
    # The image that is pressed stands on the left, the study's chosen contender on the right.
    for pressed, other in (("sdxl-turbo@1", "sdxl-turbo@2"), ("sdxl@50", "sdxl-turbo@1")):
        page.locator(f'.grid .row .open:has(img[data-contender="{pressed}"])').first.click()
        assert page.locator("dialog").evaluate("e => e.open")
        names = [panes.nth(i).locator("select").input_value() for i in (0, 1)]
        assert names == [pressed, other]
        if other != "sdxl-turbo@1":
            page.keyboard.press("Escape")
    before = panes.nth(1).locator("img").get_attribute("src")
    offered = panes.nth(1).locator("option").all_inner_texts()
    panes.nth(1).locator("select").select_option(next(name for name in offered if name not in names))
    assert panes.nth(1).locator("img").get_attribute("src") != before
    boxes = [panes.nth(i).locator("img").bounding_box() for i in (0, 1)]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert boxes[0]["y"] == pytest.approx(boxes[1]["y"], abs=1)
    page.keyboard.press("Escape")
    assert not page.locator("dialog").evaluate("e => e.open")

    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(246, 247, 249)" if scheme == "light" else "rgb(18, 21, 25)")
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_page_prints(index: Path, browser) -> None:
    page = browser.new_page()
    page.goto(index.as_uri())
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
