"""axe-core on every state of the rater's page, on screens from a desktop to 400% zoom, in light and dark."""

from pathlib import Path

import pytest

from tests.support.arena_pictures import make_study
from tests.support.arena_server import BROWSER_FLAGS, CHROMIUM, Server
from tests.support.rater_states import SCREENS, violations, walk

pytestmark = pytest.mark.browser
STATES = {
    *(
        "welcome",
        "pictures loading",
        "vote",
        "menu",
        "instructions",
        "report",
        "zoomed",
        "break",
        "not saved",
    ),
    *("end", "too small"),
}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    pytest.importorskip("axe_playwright_python")
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    folder = make_study(tmp_path_factory.mktemp("axe") / "s", votes_per_rater=None)
    with Server(folder.path) as server:
        yield server


@pytest.mark.parametrize(
    ("screen", "language", "scheme"),
    [("desktop", "en", "light"), ("phone", "ar", "dark"), ("400%", "de", "light")],
)
def test_axe_finds_nothing_in_any_state(browser, arena, screen, language, scheme):
    found = walk(browser, arena.url, screen, language, scheme, None)
    assert set(found) == STATES
    assert {state: broken for state, broken in found.items() if broken} == {}


def test_axe_would_find_text_without_contrast_and_a_button_without_a_name(browser, arena):
    context = browser.new_context(**SCREENS["desktop"], bypass_csp=True)
    page = context.new_page()
    page.goto(arena.url)
    page.wait_for_selector("#start", state="visible")
    page.add_style_tag(content=".consent { color: #bbb !important; }")
    page.evaluate("document.querySelector('#start').textContent = ''")
    rules = {one.split(":")[0] for one in violations(page)}
    context.close()
    assert {"color-contrast", "button-name"} <= rules
