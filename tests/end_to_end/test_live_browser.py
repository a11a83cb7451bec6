"""The live page in a real headless Chromium: fast typing, phone, reference, save, busy; and its measurement."""

import hashlib
import io
import json
import threading
import time
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from PIL import Image

from bench.cli.live import _narrow
from bench.live import measure as timing
from bench.live.studio import Asked, Drawn, Studio, _encoded
from bench.models.registry import MODELS, contender
from bench.records import FELT_STAGES, FeltPicture, from_dict
from tests.support.arena_server import CHROMIUM, Path
from tests.support.rater_states import violations

pytestmark = pytest.mark.browser

NAMES = ["tiny-turbo@1", "tiny-sdxl@2"]
SIXTY = "a red circle left of a blue square, on a grey background now"
WAIT = 120_000


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed")
    with timing.browser() as opened:
        yield opened


class Painter(Studio):
    """Draws the hash of what it was asked for as a colour, and takes its time; the pipelines are tested elsewhere."""

    def __init__(self, names):
        found = [contender(name, MODELS) for name in names]
        super().__init__(found, {who.model: SimpleNamespace(model=MODELS[who.model]) for who in found})
        self.asked = []
        self.free = threading.Event()
        self.free.set()

    def draw(self, asked):
        self.asked.append(asked.text)
        began = time.perf_counter()
        assert self.free.wait(120)
        data, kind = _encoded(colour(asked), asked)
        seconds = {"encode": 0.0, "denoise": time.perf_counter() - began, "decode": 0.0, "began": began}
        return Drawn(contender=asked.contender.name, data=data, kind=kind, seconds=seconds, truncated=False)


def colour(asked):
    start = b"" if asked.reference is None else asked.reference.tobytes() + str(asked.strength).encode()
    key = f"{asked.contender.name} {asked.text} {asked.seed}".encode() + start
    return np.full((64, 64, 3), list(hashlib.sha256(key).digest()[:3]), np.uint8)


@pytest.fixture(scope="module")
def studio():
    return Painter(NAMES)


@pytest.fixture(scope="module")
def address(studio):
    with timing.serving(studio) as found:
        yield found


def visit(browser, address, **settings):
    context = browser.new_context(**settings)
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(address)
    page.wait_for_function("window.live && live.ready()", timeout=WAIT)
    page.click("#prompt textarea")
    return page


def settled(page, seats=2):
    """Every seat shows the newest text."""
    page.wait_for_function(
        f"live.rows.filter((row) => row.key === live.keys()).length >= {seats}", timeout=WAIT
    )


def shown(page, seat):
    """The pixels a seat shows, as the browser decoded them."""
    data = page.evaluate(
        """async (seat) => {
        const image = document.querySelector(`figure[data-seat="${seat}"] img`);
        return [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())];
    }""",
        seat,
    )
    return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB"))


def test_sixty_characters_typed_at_once_end_in_the_last_texts_pictures(browser, address, studio):
    page = visit(browser, address)
    studio.free.clear()  # the first picture takes as long as the typing
    page.keyboard.type(SIXTY)
    page.wait_for_function("live.flying().reduce((a, b) => a + b) === 3", timeout=WAIT)
    studio.free.set()
    settled(page)
    rows = page.evaluate("live.rows")
    assert len(SIXTY) == page.evaluate("live.keys()") == 60
    assert len(studio.asked) == 3
    assert studio.asked[1:] == [SIXTY, SIXTY]  # what came between never reached the card
    for seat, name in enumerate(NAMES):
        assert [r["key"] for r in rows if r["contender"] == name] == sorted(
            r["key"] for r in rows if r["contender"] == name
        )
        drawn = studio.draw(Asked(contender=studio.contenders[seat], text=SIXTY, seed=1))
        assert np.array_equal(
            shown(page, seat), np.asarray(Image.open(io.BytesIO(drawn.data)).convert("RGB"))
        )
    page.wait_for_function("document.querySelectorAll('#history img').length >= 2", timeout=WAIT)
    assert "half within" in page.inner_text("#figures")
    assert len(page.query_selector_all("#clocks table")) == 2
    waits = page.evaluate("live.waits")
    for (
        name
    ) in NAMES:  # every key once; the first has its own picture, the last too, what came between was replaced
        own = [wait for wait in waits if wait["contender"] == name]
        assert [wait["key"] for wait in own] == list(range(1, 61))
        assert not own[-1]["replaced"]
        assert sum(wait["replaced"] for wait in own) >= 58
        assert own[1]["wait"] > own[-1]["wait"]  # an earlier key of the same frame has waited longer
    with page.expect_download() as download:
        page.click("figure[data-seat='0'] .save")
    assert download.value.suggested_filename.endswith("_tiny-turbo@1_seed-1.png")
    with Image.open(download.value.path()) as saved:
        assert json.loads(saved.info["parameters"])["text"] == SIXTY
    assert page.problems == []
    page.context.close()


def test_on_a_phone_a_reference_starts_the_picture_and_a_bad_one_is_refused(browser, address, tmp_path):
    page = visit(
        browser,
        address,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.type("a fox")
    page.click("#steps label:has-text('4')")
    settled(page)
    plain = shown(page, 0)
    page.click("#start button")
    Image.new("RGB", (80, 60), (250, 10, 10)).save(tmp_path / "red.png")
    (tmp_path / "bad.png").write_bytes(b"<svg></svg>")
    page.set_input_files("#reference input[type=file]", str(tmp_path / "red.png"))
    page.wait_for_function("live.settings().reference", timeout=WAIT)
    settled(page)
    assert not np.array_equal(plain, shown(page, 0))
    page.click("#reference button[aria-label='Remove Image']")
    page.wait_for_function("!live.settings().reference", timeout=WAIT)
    page.set_input_files("#reference input[type=file]", str(tmp_path / "bad.png"))
    page.wait_for_selector("#figures.alarm", timeout=WAIT)
    assert "SVG" in page.inner_text("#figures")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.problems == []
    page.context.close()


def test_the_measurement_is_what_the_report_reads(browser, address):
    rows, waits, typed = timing.type_texts(browser, address, ["a fox", "two cups"], 0.05)
    assert {wait.contender for wait in waits} == set(NAMES)
    assert len(waits) == 2 * (5 + 8)
    assert sum(not wait.replaced for wait in waits) == len(rows)
    assert typed["keystrokes"] == 5 + 8
    assert typed["pictures"] == len(rows)
    assert {row.contender for row in rows} == set(NAMES)
    for row in rows:
        assert from_dict(FeltPicture, json.loads(json.dumps(row_of(row))), "x") == row
        assert min(getattr(row, stage) for stage in FELT_STAGES) >= 0
    assert rows[-1].behind == 0


def row_of(row):
    from dataclasses import asdict

    return asdict(row)


def test_a_line_of_the_measurement_fits_a_terminal():
    """Both clocks. Oracle: numpy's quantiles of waits written down here."""
    stages = dict.fromkeys(FELT_STAGES, 0.01)
    document = {
        "typed": {"mini-sdxl@50": {"keystrokes": 4, "pictures": 2, "seconds": 2.0}},
        "rows": [
            {"contender": "mini-sdxl@50", **stages},
            {"contender": "mini-sdxl@50", **stages, "behind": 2},
        ],
        "keys": [
            {"contender": "mini-sdxl@50", "seconds": s, "replaced": r}
            for s, r in ((0.9, False), (1.2, True), (1.0, True), (0.5, False))
        ],
    }
    (row,) = timing.summary(document)
    waits = np.quantile([900, 1200, 1000, 500], [0.5, 0.95]).round()
    assert [row["key p50 ms"], row["key p95 ms"], row["replaced %"]] == [*waits, 50]
    assert [row["picture p50 ms"], row["keys"], row["pictures"]] == [60, 4, 2]
    narrow = _narrow(row)
    assert narrow.pop("stages").endswith("N 4 keys, 2 pictures, 2 keys behind at most")
    assert sum(max(len(str(v)), len(k)) + 2 for k, v in narrow.items()) <= 80


def test_clearing_the_text_clears_the_pictures_and_save_keeps_what_is_shown(browser, address, studio):
    page = visit(browser, address)
    page.keyboard.type("a fox")
    settled(page)
    before = shown(page, 0)
    studio.free.clear()  # newer text is on its way, and its picture is not here
    page.keyboard.type("es")
    studio.asked.clear()
    threading.Timer(1.0, studio.free.set).start()
    with page.expect_download() as download:
        page.click("figure[data-seat='0'] .save")
    with Image.open(download.value.path()) as saved:
        assert json.loads(saved.info["parameters"])["text"] == "a fox"
        assert np.array_equal(np.asarray(saved.convert("RGB")), before)
    settled(page)
    page.click("#prompt textarea")
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.wait_for_function("!document.querySelector('#pictures img')", timeout=WAIT)
    assert page.is_disabled("figure[data-seat='0'] .save")
    assert page.problems == []
    page.context.close()


def test_gradios_upload_and_page_are_closed_to_other_sites(address):
    host = address.removeprefix("http://").strip("/")
    with httpx.Client(base_url=address, verify=False, timeout=60) as client:
        for headers, status in (
            ({"Origin": f"http://{host}"}, 200),
            ({"Origin": "http://evil.example"}, 403),
            ({"Host": "evil.example"}, 403),
        ):
            upload = client.post("gradio_api/upload", files={"files": ("a.png", b"x")}, headers=headers)
            assert upload.status_code == status, headers
            assert client.get("/", headers=headers).status_code == status, headers


@pytest.mark.parametrize(
    "settings",
    [
        {"viewport": {"width": 1280, "height": 800}},
        {
            "viewport": {"width": 390, "height": 844},
            "has_touch": True,
            "is_mobile": True,
            "color_scheme": "dark",
        },
        {"viewport": {"width": 320, "height": 400}, "device_scale_factor": 4},
    ],
    ids=["desktop", "phone, dark", "400%"],
)
def test_axe_finds_nothing_on_the_live_page(browser, address, settings):
    pytest.importorskip("axe_playwright_python")
    page = visit(browser, address, bypass_csp=True, **settings)
    broken = {"empty": violations(page)}
    page.keyboard.type("a fox")
    settled(page)
    page.wait_for_function("document.querySelectorAll('#history img').length >= 2", timeout=WAIT)
    broken["pictures"] = violations(page)
    page.click("#start button")
    page.wait_for_selector("#reference input[type=file]", state="attached", timeout=WAIT)
    page.evaluate("document.querySelector('#figures').classList.add('alarm')")
    broken["a message, and the reference open"] = violations(page)
    assert {state: found for state, found in broken.items() if found} == {}
    page.context.close()


def test_the_page_has_a_heading_and_names_for_what_it_shows(browser, address):
    page = visit(browser, address)
    page.keyboard.type("a fox")
    settled(page)
    page.wait_for_function("document.querySelectorAll('#history img').length >= 2", timeout=WAIT)
    assert page.inner_text("h1") == "Pictures while you type"
    assert page.evaluate("[...document.querySelectorAll('#history > *')].every((e) => e.tagName === 'LI')")
    assert page.evaluate(
        "[...document.querySelectorAll('[role=img]')].every((e) => e.getAttribute('aria-label'))"
    )
    assert [b.get_attribute("type") for b in page.query_selector_all("#pictures .save")] == ["button"] * 2
    page.context.close()
