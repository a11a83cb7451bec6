"""Whole sessions in a real headless Chromium: keys, phone, double clicks, back, reload, tabs, offline."""

import itertools
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from arena.admission import server_key, unseal
from arena.db import schema
from arena.db.database import VoteDatabase
from arena.db.vote_log import standing
from arena.web.ballot import build
from tests.support.arena_server import BROWSER_FLAGS, CHROMIUM, Server, free_port
from tests.support.arena_study import make_study
from tests.support.nginx import NGINX, nginx
from tests.support.rater_states import violations

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


def opened(browser, arena, path="", **settings):
    context = browser.new_context(**settings)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(arena.url + path)
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


def held_by(page):
    """Tokens of the pairs the rater holds, as the server says."""
    script = """() => fetch("api/state", {method: "POST", body: "{}",
        headers: {"X-Arena": "1", "Content-Type": "application/json"}}).then(reply => reply.json())"""
    return [one["token"] for one in page.evaluate(script)["state"]["ballots"]]


def number(page):
    return int(page.evaluate("document.body.dataset.ballot"))


def rows_of(arena, page):
    """Standing votes of the rater behind the page's cookie."""
    cookie = next(c["value"] for c in page.context.cookies() if c["name"] == "arena_rater")
    key = server_key(arena.folder)
    session = unseal(key, cookie)
    assert session is not None
    database = VoteDatabase(schema.sqlite_url(arena.folder / "votes.sqlite"), key)
    with database.reading() as tx:
        rows = list(tx.log())
    database.close()
    mine = [row for row in standing(rows) if row.rater_id == session.rater_id]
    assert set(Counter(row.assignment_id for row in mine).values()) <= {1}
    return mine


def votes_of(arena, page):
    return [row.answer for row in rows_of(arena, page)]


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
    page.wait_for_selector("#voting", state="visible")
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


SCREENS = {  # name → settings of the browser, arrangement, side in CSS pixels (None: what the screen leaves)
    "desktop": ({"viewport": {"width": 1280, "height": 800}}, "beside", 256),
    "phone": (PHONE, "stacked", 256),
    "phone on its side": ({**PHONE, "viewport": {"width": 844, "height": 390}}, "beside", 256),
    "200%": ({"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2}, "beside", 256),
    "400%": ({"viewport": {"width": 320, "height": 200}, "device_scale_factor": 4}, "stacked", 256),
}


@pytest.mark.parametrize("screen", SCREENS)
def test_both_pictures_are_one_size_and_nothing_is_cut_off(browser, arena, screen):
    settings, arrangement, side = SCREENS[screen]
    for page in opened(browser, arena, **settings):
        begin(page)
        boxes = []
        for _ in range(2):
            boxes.append(
                [page.locator(f"[data-part={s}]").bounding_box() for s in ("left", "right", "answers")]
            )
            left, right, answers = boxes[-1]
            assert {left["width"], left["height"], right["width"], right["height"]} == {side}
            assert (right["y"] >= left["y"] + left["height"]) == (arrangement == "stacked")
            assert answers["x"] >= 0
            assert answers["x"] + answers["width"] <= settings["viewport"]["width"]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            prompt = page.locator("[data-part=prompt]")
            if prompt.is_visible():
                assert prompt.evaluate("e => e.scrollHeight <= e.clientHeight + 1")
            at = number(page)
            answer(page)
            settled(page, at + 1)
        if settings["viewport"]["height"] > 500:
            assert answers["y"] + answers["height"] <= settings["viewport"]["height"]
            assert boxes[0] == boxes[1]  # nothing jumps


def answer(page):
    """Choose left as a person does: after having scrolled over both pictures."""
    page.evaluate("scrollTo(0, 0)")
    for _ in range(12):
        page.mouse.wheel(0, 90)
        page.wait_for_timeout(60)
    page.click("[data-part=answers] [data-answer=left]")


def test_each_vote_says_how_its_pair_was_shown(browser, arena):
    seen = []
    for name in ("desktop", "phone"):
        for page in opened(browser, arena, **SCREENS[name][0]):
            begin(page)
            page.keyboard.press("z")
            page.keyboard.press("Escape")
            page.keyboard.press("ArrowRight")
            settled(page, 2)
            seen += [row.display for row in rows_of(arena, page)]
    desktop, phone = seen
    assert desktop["viewport"] == [1280, 800]
    assert desktop["pixel_ratio"] == 1
    assert desktop["orientation"] == "landscape"
    assert desktop["arrangement"] == "beside"
    assert desktop["language"] == "en"
    assert desktop["zoomed"] is True
    assert phone["viewport"] == [390, 844]
    assert phone["orientation"] == "portrait"
    assert phone["arrangement"] == "stacked"
    assert desktop["side"] == phone["side"] == 256
    assert desktop["build"] == phone["build"] == build()


def test_no_answer_counts_before_both_pictures_were_seen_whole(browser, arena):
    for page in opened(browser, arena, viewport={"width": 320, "height": 300}):
        begin(page)
        assert page.locator("[data-part=answers] [data-answer=left]").get_attribute("aria-disabled") == "true"
        assert "Scroll to see both pictures whole" in page.inner_text("[data-part=cue]")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(1500)
        assert number(page) == 1
        assert votes_of(arena, page) == []
        answer(page)
        settled(page, 2)
        assert votes_of(arena, page) == ["left"]


def test_a_window_too_small_for_the_pictures_asks_for_a_larger_one(browser, arena):
    for page in opened(browser, arena, viewport={"width": 240, "height": 400}):
        begin(page)
        assert page.is_visible("text=This window is too small")
        for key in ("ArrowLeft", "ArrowDown"):
            page.keyboard.press(key)
        page.wait_for_timeout(500)
        assert votes_of(arena, page) == []
        page.set_viewport_size({"width": 900, "height": 800})
        page.wait_for_selector("[data-part=left]", state="visible")
        page.keyboard.press("ArrowRight")
        settled(page, 2)
        assert votes_of(arena, page) == ["right"]


def drag(page, start, end, steps=8):
    """A finger's path as the browser itself would see it, not as events made by a script."""
    touch = page.context.new_cdp_session(page)
    at = [{"x": start[0], "y": start[1]}]
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": at})
    for i in range(1, steps + 1):
        at = [
            {"x": s + (e - s) * i / steps, "y": t + (f - t) * i / steps}
            for s, e, t, f in [(start[0], end[0], start[1], end[1])]
        ]
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": at})
        page.wait_for_timeout(16)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def centre(page, part):
    box = page.locator(f"[data-part={part}]").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_on_a_phone_only_buttons_and_a_long_sideways_swipe_answer(phone, arena):
    begin(phone)
    x, y = centre(phone, "left")
    drag(phone, (x, y - 60), (x, y + 200))  # pull to refresh
    drag(phone, (x, y + 60), (x + 10, y - 200))  # scroll
    drag(phone, (x, y), (x + 50, y))  # too short
    drag(phone, (x, y), (x + 90, y + 120))  # askew
    drag(phone, (5, y), (200, y))  # the browser's own way back
    phone.tap("[data-part=right]")  # a tap looks closer
    phone.wait_for_selector(".pair.zoomed")
    drag(phone, (x, y), (x + 150, y))  # moves what is zoomed
    phone.wait_for_timeout(500)
    assert votes_of(arena, phone) == []
    phone.tap("[data-part=right]")
    phone.wait_for_selector(".pair:not(.zoomed)")
    x, y = centre(phone, "right")
    drag(phone, (x - 60, y), (x + 100, y + 8))
    settled(phone, 2)
    phone.tap("[data-part=answers] [data-answer=tie]")
    settled(phone, 3)
    assert votes_of(arena, phone) == ["right", "tie"]


def pinch(page, middle, start, end, steps=8):
    """Two fingers along a horizontal line, `start` and `end` CSS pixels apart, as the browser itself would see them."""
    touch = page.context.new_cdp_session(page)
    x, y = middle
    for i in range(steps + 1):
        half = (start + (end - start) * i / steps) / 2
        fingers = [{"x": x - half, "y": y, "id": 0}, {"x": x + half, "y": y, "id": 1}]
        kind = "touchMove" if i else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
        page.wait_for_timeout(16)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_two_fingers_zoom_both_pictures_and_never_answer(phone, arena):
    begin(phone)
    pinch(phone, centre(phone, "left"), 40, 160)
    phone.wait_for_selector(".pair.zoomed")
    one, other = transforms(phone)
    assert one == other
    scale = float(one.removeprefix("matrix(").split(",")[0])
    assert scale == pytest.approx(4, rel=0.15)  # the fingers end four times as far apart
    x, y = centre(phone, "right")
    drag(phone, (x, y), (x + 150, y + 40))
    moved = transforms(phone)
    assert moved[0] == moved[1] != one
    pinch(phone, centre(phone, "right"), 160, 30)
    phone.wait_for_selector(".pair:not(.zoomed)")
    assert transforms(phone) == ["none", "none"]
    phone.wait_for_timeout(400)
    assert votes_of(arena, phone) == []


WORDS = " ".join(f"word{number}" for number in range(400))


def with_prompt(page, prompt):
    """Every state that the server sends names this prompt."""

    def changed(route):
        reply = route.fetch()
        body = reply.json()
        for ballot in body.get("state", {}).get("ballots", []):
            ballot["prompt"] = prompt
        route.fulfill(response=reply, json=body)

    page.route("**/api/*", changed)


def test_four_hundred_words_are_read_whole_and_the_pictures_keep_their_least_size(phone, arena):
    with_prompt(phone, WORDS)
    begin(phone)
    prompt = phone.locator("[data-part=prompt]")
    assert prompt.inner_text() == WORDS
    assert prompt.evaluate("e => e.scrollHeight <= e.clientHeight + 1 && e.scrollWidth <= e.clientWidth + 1")
    assert phone.locator("[data-part=left]").bounding_box()["width"] == 256
    assert phone.evaluate("document.documentElement.scrollHeight > innerHeight")
    assert phone.is_visible("[data-part=cue]")
    assert phone.evaluate(
        "(() => { const b = document.querySelector('[data-part=cue]').getBoundingClientRect();"
        " return b.top >= 0 && b.bottom <= innerHeight; })()"
    )
    phone.tap("[data-part=cue]")
    phone.wait_for_function("scrollY > 100")
    assert votes_of(arena, phone) == []


def test_a_double_click_is_one_vote(page, arena):
    begin(page)
    page.dblclick("[data-part=answers] [data-answer=left]")
    settled(page, 2)
    page.dblclick("[data-part=answers] [data-answer=right]")
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
    held = held_by(page)
    page.reload()
    settled(page)
    assert held_by(page) == held
    page.goto("about:blank")
    page.go_back()
    settled(page)
    assert held_by(page) == held
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
    page.wait_for_selector("text=Not saved yet")
    page.keyboard.press("ArrowRight")  # impatience does not vote twice
    for _ in range(10):
        page.wait_for_timeout(1000)
        assert "Not saved yet" in page.inner_text("[data-part=notice]")  # for as long as it is so
    assert votes_of(arena, page) == []
    page.context.set_offline(False)
    settled(page, 2)
    assert votes_of(arena, page) == ["left"]


def test_not_saved_is_read_whole_on_a_phone(phone, arena):
    begin(phone)
    phone.context.set_offline(True)
    phone.tap("[data-part=answers] [data-answer=left]")
    phone.wait_for_selector(".notice.alert")
    box = phone.locator("[data-part=notice]").bounding_box()
    assert box["y"] + box["height"] <= PHONE["viewport"]["height"] + 1
    phone.context.set_offline(False)
    settled(phone, 2)
    assert votes_of(arena, phone) == ["left"]


def test_prompts_are_text_and_nothing_tells_a_model(page, arena):
    sent = []
    page.on("response", lambda reply: sent.append(reply.url))
    begin(page)
    for _ in range(5):
        if page.inner_text("[data-part=question]").startswith("Which picture follows"):
            assert "<b>bold</b>" in page.inner_text("[data-part=prompt]")
        else:
            assert page.inner_text("[data-part=prompt]") == ""
        assert page.locator("[data-part=prompt] b").count() == 0
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


def transforms(page):
    script = (
        "document.querySelectorAll('figure[data-side] img').values().map(i => getComputedStyle(i).transform)"
    )
    return page.evaluate(f"[...{script}]")


def test_zoom_moves_over_both_pictures_at_once_at_whole_pixels(page, arena):
    begin(page)
    page.keyboard.press("z")
    one, other = transforms(page)
    assert one == other
    # 128 pixels at 256 CSS pixels: shown at 200% already, so zoom is the next whole multiple that enlarges enough
    assert one.startswith("matrix(1.5,")
    page.keyboard.press("ArrowRight")  # moves, and does not vote
    moved = transforms(page)
    assert moved[0] == moved[1] != one
    x, y = centre(page, "left")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 20, steps=4)
    page.mouse.up()
    dragged = transforms(page)
    assert dragged[0] == dragged[1] != moved[0]
    page.keyboard.press("+")
    assert transforms(page)[0].startswith("matrix(1.875,")
    page.keyboard.press("Escape")
    assert transforms(page) == ["none", "none"]
    page.click("[data-part=right]")
    assert transforms(page)[0] == transforms(page)[1] != "none"
    page.click("[data-part=left]")
    assert transforms(page) == ["none", "none"]
    assert votes_of(arena, page) == []


def test_a_new_question_is_announced(page, arena):
    begin(page)
    said = page.locator("[data-part=announce]")
    assert said.get_attribute("aria-live") == "polite"
    first = said.inner_text()
    assert first.startswith("Question 1. Which picture")
    page.keyboard.press("ArrowLeft")
    settled(page, 2)
    assert said.inner_text().startswith("Question 2. Which picture")


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
            page.wait_for_selector("text=Not saved yet")
            started = time.time()
            server.start()
            settled(page, 2)
            assert time.time() - started < 60
            assert votes_of(server, page) == ["left"]


def test_the_administrator_is_asked_before_the_study_is_closed(browser, tmp_path):
    _, folder = make_study(tmp_path / "s", reveal="after-study")
    token = "0123456789abcdef0123"
    with Server(folder.path, admin=token) as server:
        pytest.importorskip("axe_playwright_python")
        page = browser.new_page(bypass_csp=True, color_scheme="dark")
        page.goto(f"{server.url}/admin-login")
        assert violations(page) == []
        page.fill("input[name=token]", token)
        page.click("button")
        page.get_by_text("is open").wait_for()
        page.wait_for_selector("text=/no votes to rate/")
        for tab in page.get_by_role("tab").all():
            tab.click()
            assert violations(page) == [], tab.inner_text()
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


def test_on_a_slow_network_the_words_come_first_and_no_picture_before_the_other(page, arena):
    held = []
    page.route("**/i/*", lambda route: held.append(route))
    page.click("#start")
    page.wait_for_selector("[data-part=question]:not(:empty)")
    assert page.inner_text("[data-part=question]").startswith("Which picture")
    while len(held) < 2:
        page.wait_for_timeout(50)
    held.pop(0).continue_()
    page.wait_for_timeout(500)
    assert page.locator("figure[data-side] img:visible").count() == 0  # one alone would have a head start
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(300)
    assert votes_of(arena, page) == []
    held.pop(0).continue_()
    page.unroute("**/i/*")
    settled(page, 1)
    page.keyboard.press("ArrowLeft")
    settled(page, 2)
    assert votes_of(arena, page) == ["left"]


@pytest.mark.parametrize("path", ["/study/one/", "/study/one/de"])
def test_the_page_works_below_a_path_of_a_proxy(browser, arena, path):
    if NGINX is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    servers = (
        f"server {{ listen 127.0.0.1:{port}; location /study/one/ {{ proxy_pass {arena.url}/; "
        "proxy_set_header Host $http_host; } }"
    )
    proxy = SimpleNamespace(url=f"http://127.0.0.1:{port}", folder=arena.folder)
    with nginx(servers, f"{proxy.url}/study/one/healthz"):
        for page in opened(browser, proxy, path):
            asked = []
            page.on("request", lambda request, asked=asked: asked.append(urlsplit(request.url)))
            begin(page)
            page.keyboard.press("ArrowLeft")
            settled(page, 2)
            assert votes_of(arena, page) == ["left"]
            assert page.evaluate("getComputedStyle(document.querySelector('#rest')).display") == "none"
            assert all(url.path.startswith("/study/one/") for url in asked if url.scheme == "http")


HANDS = {
    "text": {"en": "Whose hands are better?", "de": "Wessen Hände sind besser?"},
    "answers": "seven_points",
    "comment": True,
}


@pytest.mark.parametrize(
    ("path", "words", "label", "prompt"),
    [
        ("", "Whose hands", "Left", "a <b>bold</b> & "),
        ("/de", "Wessen Hände", "Links", "ein <b>fetter</b> Fuchs"),
    ],
)
def test_seven_points_and_a_comment_in_the_operators_words(browser, tmp_path, path, words, label, prompt):
    _, folder = make_study(
        tmp_path / "s",
        size=64,
        votes_per_pair=50,
        questions=("hands",),
        own_questions={"hands": HANDS},
        attention_rate=0.0,
        repeat_rate=0.0,
    )
    with Server(folder.path) as server:
        for page in opened(browser, server, path):
            begin(page)
            assert page.inner_text("[data-part=question]").startswith(words)
            assert page.inner_text("[data-part=prompt]").startswith(prompt)
            assert page.get_attribute("[data-part=prompt]", "lang") == path.strip("/")
            buttons = page.locator("[data-part=answers] button")
            assert buttons.count() == 7
            assert label in buttons.nth(0).inner_text()
            page.fill("[data-part=comment]", "six fingers 0 7")  # keys in the comment are no answers
            buttons.nth(1).click()
            settled(page, 2)
            assert page.input_value("[data-part=comment]") == ""
            page.keyboard.press("7")
            settled(page, 3)
            first, second = rows_of(server, page)
            assert (first.answer, first.display["scale"], first.display["comment"]) == (
                "left",
                2,
                "six fingers 0 7",
            )
            assert (second.answer, second.display["scale"]) == ("right", -3)
            assert {row.display["prompt_language"] for row in (first, second)} == {path.strip("/")}


def test_a_reported_picture_takes_the_pair_away(page, arena):
    begin(page)
    held = held_by(page)
    page.click("[data-part=more]")
    page.click("[data-part=report]")
    page.check("[data-part=report-dialog] [value=right]")
    page.check("[data-part=report-dialog] [value=broken]")
    page.click("[data-part=report-dialog] [value=send]")
    page.wait_for_selector("text=Thank you, reported")
    settled(page, 2)
    assert held_by(page)[0] == held[1]
    assert votes_of(arena, page) == []


def test_the_page_works_inside_a_page_of_a_site_that_is_named_and_of_no_other(browser, tmp_path):
    _, folder = make_study(tmp_path / "s", votes_per_pair=50)
    other = free_port()
    command = [
        sys.executable,
        "-m",
        "http.server",
        str(other),
        "--bind",
        "127.0.0.1",
        "--directory",
        str(tmp_path),
    ]
    site = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with suppress(OSError), socket.create_connection(("127.0.0.1", other), timeout=1):
                break
            time.sleep(0.1)
        for named in (True, False):
            with Server(
                folder.path, options=["--embed", f"http://localhost:{other}"] if named else []
            ) as server:
                (tmp_path / "host.html").write_text(
                    f'<iframe src="{server.url}" width="1000" height="800"></iframe>'
                )
                context = browser.new_context()
                page = context.new_page()
                page.goto(f"http://localhost:{other}/host.html")
                frame = page.frame_locator("iframe")
                if not named:
                    page.wait_for_timeout(2000)
                    assert frame.locator("#start").count() == 0
                    continue
                frame.locator("#start").click()
                frame.locator("[data-part=answers] [aria-disabled=false]").first.wait_for()
                page.wait_for_timeout(300)
                frame.locator("[data-part=answers] [data-answer=left]").click()
                frame.locator("body[data-ballot='2']").wait_for()
                context.close()
    finally:
        site.kill()
        site.wait()
