"""Whole sessions in a real headless Chromium: keys, phone, double clicks, back, reload, tabs, offline."""

import itertools
import time
from collections import Counter
from pathlib import Path

import pytest

from arena.admission import server_key
from arena.db import schema
from arena.db.assignments import VoteDatabase
from arena.db.vote_log import standing
from tests.support.arena_server import BROWSER_FLAGS, CHROMIUM, Server
from tests.support.arena_study import make_study

pytestmark = pytest.mark.browser

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "color_scheme": "dark",
}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    _, folder = make_study(
        tmp_path_factory.mktemp("arena") / "s",
        size=128, prompts=12, votes_per_pair=500, votes_per_rater=6, both_bad=True, break_after=4,
        completion_code="CODE-7", attention_rate=0.0, repeat_rate=0.0,
    )  # fmt: skip
    with Server(folder.path) as server:
        yield server


@pytest.fixture
def page(browser, arena):
    yield from opened(browser, arena)


@pytest.fixture
def phone(browser, arena):
    yield from opened(browser, arena, **PHONE)


def opened(browser, arena, **settings):
    context = browser.new_context(**settings)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(arena.url)
    yield page
    context.close()
    assert problems == []


def begin(page):
    page.click("#start")
    settled(page)


def settled(page, ballot=None):
    """Wait until a pair is on screen (the given one, if any), and long enough for an answer to count."""
    wanted = f"[data-ballot='{ballot}']" if ballot else "[data-ballot]"
    page.wait_for_selector(f"body{wanted}[data-stage=vote]")
    page.wait_for_timeout(300)


def number(page):
    return int(page.evaluate("document.body.dataset.ballot"))


def votes_of(arena, page):
    """Standing answers of the rater behind the page's cookie."""
    cookie = next(c["value"] for c in page.context.cookies() if c["name"] == "arena_rater")
    database = VoteDatabase(schema.sqlite_url(arena.folder / "votes.sqlite"), server_key(arena.folder))
    with database.reading() as tx:
        rows = list(tx.log())
    database.close()
    mine = [row for row in standing(rows) if row.rater_id == cookie.split(".")[0]]
    assert set(Counter(row.assignment_id for row in mine).values()) <= {1}
    return [row.answer for row in mine]


def test_a_session_with_keys_alone(page, arena):
    page.wait_for_selector("#start", state="visible")
    page.focus("#start")
    page.keyboard.press("Enter")
    settled(page)
    for key in ("ArrowLeft", "ArrowRight", "ArrowDown"):
        at = number(page)
        page.keyboard.press(key)
        settled(page, at + 1)
    page.keyboard.press("0")
    page.wait_for_selector("#rest", state="visible")
    page.keyboard.press("Enter")
    page.wait_for_selector("#vote", state="visible")
    page.wait_for_timeout(300)
    page.keyboard.press("u")
    page.wait_for_selector("text=Your last answer is open again.")
    page.wait_for_timeout(300)
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#rest", state="visible")  # the fourth answer again
    page.click("#continue")
    page.wait_for_timeout(300)
    at = number(page)
    page.keyboard.press("ArrowLeft")
    settled(page, at + 1)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#end", state="visible")
    assert "CODE-7" in page.inner_text("#end")
    assert votes_of(arena, page) == ["left", "right", "tie", "right", "left", "left"]


def test_pictures_and_answers_fit_the_screen_and_nothing_jumps(browser, arena):
    for settings in (
        {"viewport": {"width": 1280, "height": 800}},
        {"viewport": {"width": 640, "height": 400}},
        PHONE,
    ):
        for page in opened(browser, arena, **settings):
            begin(page)
            boxes = []
            for _ in range(2):
                boxes.append([page.locator(s).bounding_box() for s in ("#left", "#right", "#answers")])
                at = number(page)
                page.keyboard.press("ArrowLeft")
                settled(page, at + 1)
            assert boxes[0] == boxes[1]
            width, height = settings["viewport"]["width"], settings["viewport"]["height"]
            left, right, answers = boxes[0]
            assert left["width"] == right["width"] == left["height"] == right["height"]
            assert answers["x"] >= 0
            assert answers["x"] + answers["width"] <= width
            if height > 500:  # half of that is 200% zoom on a laptop: it may scroll, but not sideways
                assert answers["y"] + answers["height"] <= height
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            stacked = right["y"] >= left["y"] + left["height"]
            assert stacked == (width < height)


def test_taps_and_swipes_on_a_phone(phone, arena):
    begin(phone)
    phone.tap("#right")
    settled(phone, 2)
    phone.evaluate(
        """() => { const left = document.getElementById("left");
        const at = (x, y) => [new Touch({identifier: 1, target: left, clientX: x, clientY: y})];
        const send = (type, x, y) => left.dispatchEvent(new TouchEvent(type,
            {bubbles: true, touches: type === "touchend" ? [] : at(x, y), changedTouches: at(x, y)}));
        send("touchstart", 250, 200); send("touchend", 100, 200);  // the pictures are stacked: means nothing
        send("touchstart", 200, 300); send("touchend", 210, 180); }"""
    )
    settled(phone, 3)
    phone.tap("#answers [data-answer=tie]")
    settled(phone, 4)
    assert votes_of(arena, phone) == ["right", "left", "tie"]


def test_a_double_click_is_one_vote(page, arena):
    begin(page)
    page.dblclick("#answers [data-answer=left]")
    settled(page, 2)
    page.dblclick("#right")
    settled(page, 3)
    # five presses within one task of the browser, so that how busy the machine is does not matter
    page.evaluate(
        "for (let i = 0; i < 5; i++) dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowDown'}))"
    )
    settled(page, 4)
    assert votes_of(arena, page) == ["left", "right", "tie"]


def test_reload_and_back_show_the_same_pair(page, arena):
    begin(page)
    page.keyboard.press("ArrowLeft")
    settled(page, 2)
    held = page.evaluate("state.database.map((ballot) => ballot.token)")
    page.reload()
    settled(page)
    assert page.evaluate("state.database.map((ballot) => ballot.token)") == held
    page.goto("about:blank")
    page.go_back()
    settled(page)
    assert page.evaluate("state.database.map((ballot) => ballot.token)") == held
    page.keyboard.press("ArrowRight")
    settled(page, 2)
    assert votes_of(arena, page) == ["left", "right"]


def test_two_tabs_save_each_pair_once(page, arena):
    begin(page)
    other = page.context.new_page()
    other.goto(arena.url)
    settled(other)
    page.keyboard.press("ArrowLeft")
    settled(page, 2)
    other.keyboard.press("ArrowRight")  # the same pair, answered otherwise
    other.wait_for_selector("text=answered already")
    settled(other, 2)
    other.keyboard.press("ArrowDown")
    settled(other, 3)
    assert votes_of(arena, page) == ["left", "tie"]


def test_ten_seconds_offline_lose_nothing(page, arena):
    begin(page)
    page.context.set_offline(True)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("text=Not saved, try again")
    page.keyboard.press("ArrowRight")  # impatience does not vote twice
    for _ in range(10):
        page.wait_for_timeout(1000)
        assert "Not saved" in page.inner_text("#notice")  # for as long as it is so
    assert votes_of(arena, page) == []
    page.context.set_offline(False)
    settled(page, 2)
    assert votes_of(arena, page) == ["left"]


def test_prompts_are_text_and_nothing_tells_a_model(page, arena):
    sent = []
    page.on("response", lambda reply: sent.append(reply.url))
    begin(page)
    for _ in range(5):
        if page.inner_text("#question").startswith("Which picture follows"):
            assert "<b>bold</b>" in page.inner_text("#prompt")
        else:
            assert page.inner_text("#prompt") == ""
        assert page.locator("#prompt b").count() == 0
        at = number(page)
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector(f"body[data-ballot='{at + 1}']")
        if at == 4:  # break_after
            page.click("#continue")
        settled(page, at + 1)
    everything = page.content() + "\n".join(sent)
    assert all(url.startswith(arena.url) or url.startswith("blob:") for url in sent)
    for giveaway in ("sdxl", "turbo", "secret-name", "77001", ".webp"):
        assert giveaway not in everything.replace("secret number", "")


def test_zoom_enlarges_both_pictures_at_the_same_place(page, arena):
    begin(page)
    page.keyboard.press("z")
    page.hover("#left", position={"x": 30, "y": 40})
    styles = page.evaluate(
        "['left', 'right'].map(id => { const s = getComputedStyle(document.querySelector('#' + id + ' img'));"
        " return [s.transform, s.transformOrigin]; })"
    )
    assert styles[0] == styles[1]
    assert styles[0][0].startswith("matrix(2.5")
    page.click("#left")
    assert not page.evaluate("document.getElementById('pair').classList.contains('zoomed')")
    assert votes_of(arena, page) == []


def test_text_has_the_contrast_of_wcag_aa(browser, arena):
    """4.5 to 1 between every text's colour and what is behind it, in light and dark."""
    script = """() => { const out = []; const canvas = document.createElement("canvas").getContext("2d");
      const rgb = (c) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data]; };
      const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
        if (c[3]) return c; } return [255, 255, 255, 255]; };
      for (const e of document.querySelectorAll("main *")) {
        const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
        if (own && e.checkVisibility() && !e.disabled)
          out.push([rgb(getComputedStyle(e).color), behind(e), e.outerHTML.slice(0, 80)]);
      } return out; }"""

    def luminance(colour):
        parts = [c / 255 for c in colour[:3]]
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    for scheme, stage in itertools.product(("light", "dark"), ("welcome", "vote")):
        for page in opened(browser, arena, color_scheme=scheme):
            page.wait_for_selector("#start", state="visible")
            if stage == "vote":
                begin(page)
            found = page.evaluate(script)
            assert len(found) > 5
            for ink, paper, where in found:
                light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (scheme, where)


def test_a_killed_server_is_waited_for(browser, tmp_path):
    _, folder = make_study(tmp_path / "s", size=64, votes_per_pair=50)
    with Server(folder.path) as server:
        for page in opened(browser, server):
            begin(page)
            server.kill()
            page.keyboard.press("ArrowLeft")
            page.wait_for_selector("text=Not saved, try again")
            started = time.time()
            server.start()
            settled(page, 2)
            assert time.time() - started < 60
            assert votes_of(server, page) == ["left"]


def test_the_administrator_is_asked_before_the_study_is_closed(browser, tmp_path):
    _, folder = make_study(tmp_path / "s", reveal="after-study")
    token = "0123456789abcdef0123"
    with Server(folder.path, admin=token) as server:
        page = browser.new_page()
        page.goto(f"{server.url}/admin-login")
        page.fill("input[name=token]", token)
        page.click("button")
        page.get_by_text("is open").wait_for()
        page.get_by_role("button", name="Close", exact=True).click()
        page.get_by_text("shown the contenders' names").wait_for()
        page.get_by_role("button", name="Not now").click()
        page.get_by_text("shown the contenders' names").wait_for(state="hidden")
        assert page.get_by_text("is open").is_visible()
        page.get_by_role("button", name="Close", exact=True).click()
        page.get_by_role("button", name="Close the study").click()
        page.get_by_text("is closed").wait_for()
        page.get_by_role("button", name="Open").click()
        page.get_by_text("is open").wait_for()
        page.close()
