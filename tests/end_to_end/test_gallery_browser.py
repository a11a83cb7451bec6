"""The gallery in a real headless Chromium: filters and orders against an independent computation, the comparison."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.records import Battle, ImageScore
from bench.store.study_folder import StudyFolder
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
PROMPTS = ("a red fox", HOSTILE, "قطة على الطاولة", "一只猫坐在窗台上", " ".join(f"word{i}" for i in range(400)),
           *(f"a thing number {i}" for i in range(35)))  # fmt: skip
WAIT = 60_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """40 prompts, two metrics of opposite direction, 300 votes."""
    made = make_study(
        tmp_path_factory.mktemp("gallery") / "gallery",
        side=24,
        prompts=PROMPTS,
        missing=(("sdxl@50", 1), ("lcm-xl@4", 7)),
        sizes={"sdxl@50": 48},
    )
    rng = np.random.default_rng(3)
    scores = [
        ImageScore(metric=metric, fingerprint=print_, contender=name, prompt_id=f"p{i:03d}", replicate=0,
                   value=round(float(rng.normal()), 4))
        for metric, print_ in (("clip_score", "3f9ab21c"), ("fid", "77aa0b1e"))
        for i in range(len(PROMPTS))
        for name in TURBO
    ]  # fmt: skip
    made.append(made.image_scores_file, scores)
    battles = []
    for _ in range(300):
        left, right = rng.choice(TURBO, 2, replace=False)
        outcome = str(rng.choice(["left", "right", "tie", "both_bad"]))
        prompt = f"p{rng.integers(len(PROMPTS)):03d}"
        battles.append(
            Battle(
                left=str(left),
                right=str(right),
                outcome=outcome,
                prompt_id=prompt,
                question="quality",
                simulated=True,
            )
        )
    made.append(made.battles_file, battles)
    return made


@pytest.fixture(scope="module")
def address(folder: StudyFolder) -> Iterator[str]:
    """`bench view`, as its users start it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bench", "view", str(folder.path), "--port", str(port), "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}/"
    while True:
        assert server.poll() is None, "bench view ended"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=10):
            break
        time.sleep(0.2)
    yield address
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=30)


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
        opened = chromium.new_page(viewport={"width": 1280, "height": 900})
        opened.problems = []
        opened.asked = []
        opened.on("pageerror", lambda error: opened.problems.append(str(error)))
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.goto(address)
        opened.wait_for_selector("#rows .row", timeout=WAIT)
        yield opened
        chromium.close()


def tables(folder: StudyFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Image scores by prompt and contender, and the votes, read without the suite."""
    lines = folder.image_scores_file.read_text().splitlines()
    scores = pd.DataFrame([json.loads(line) for line in lines])
    votes = pd.DataFrame([json.loads(line) for line in folder.battles_file.read_text().splitlines()])
    return scores, votes


def shown(page, **query: object) -> list[str]:
    """Prompt ids in the order of the page, after the filters were set."""
    base = {"text": "", "category": "", "challenge": "", "contenders": [], "metric": "", "low": None, "high": None,
            "order": "study", "state": "all"}  # fmt: skip
    for name, value in {**base, **query}.items():
        page.evaluate("([name, value]) => window.gallery.set(name, value)", [name, value])
    return [row[0] for row in page.evaluate("window.gallery.order()")]


@pytest.mark.parametrize(("metric", "up"), [("clip_score", True), ("fid", False)])
def test_orders_by_metric_are_those_of_a_data_frame(page, folder: StudyFolder, metric: str, up: bool) -> None:
    scores, _ = tables(folder)
    wide = scores[scores.metric == metric].pivot_table(index="prompt_id", columns="contender", values="value")
    names = ["sdxl-turbo@1", "sdxl@50"]
    mean = wide[names].mean(axis=1).sort_values(ascending=not up)
    assert shown(page, metric=metric, order="high", contenders=names) == list(mean.index)
    assert shown(page, metric=metric, order="low", contenders=names) == list(mean.index)[::-1]
    spread = (wide.max(axis=1) - wide.min(axis=1)).sort_values(ascending=False)
    assert shown(page, metric=metric, order="spread") == list(spread.index)
    overall = wide.mean(axis=1)
    inside = overall[(overall >= -0.2) & (overall <= 0.3)]
    assert shown(page, metric=metric, low="-0.2", high="0.3") == sorted(inside.index)


def test_orders_by_votes_are_those_of_a_data_frame(page, folder: StudyFolder) -> None:
    scores, votes = tables(folder)
    value = scores[scores.metric == "fid"].set_index(["prompt_id", "contender"]).value
    best: dict[str, dict[str, float]] = {"clear": {}, "against": {}}
    votes["pair"] = [tuple(sorted(p, key=TURBO.index)) for p in zip(votes.left, votes.right, strict=True)]
    for (prompt, (a, b)), group in votes[votes.outcome != "both_bad"].groupby(["prompt_id", "pair"]):
        winner = np.where(group.outcome == "left", group.left, group.right)
        first = int(((group.outcome != "tie") & (winner == a)).sum())
        second = int(((group.outcome != "tie") & (winner == b)).sum())
        margin = (first - second) / (2 * (len(group) + 2))
        best["clear"][prompt] = max(best["clear"].get(prompt, 0.0), abs(margin))
        better = -(value[prompt, a] - value[prompt, b])  # lower is better
        if margin * better < 0:
            best["against"][prompt] = max(best["against"].get(prompt, 0.0), abs(margin * better))
    for order, keys in best.items():
        ids = shown(page, metric="fid", order=order)
        assert set(ids) == set(keys)
        assert [keys[i] for i in ids] == pytest.approx(sorted(keys.values(), reverse=True), abs=1e-6)
    voted = shown(page, state="voted")
    assert voted == sorted(votes.prompt_id.unique())


def test_no_file_of_the_disk_is_reachable(address: str, folder: StudyFolder) -> None:
    secret = folder.path / "arena.key"
    secret.write_text("key of the arena")
    for path in ("file=", "gradio_api/file=", "gradio_api/file/", "gallery/images/", "gallery/thumbs/x/"):
        with (
            contextlib.suppress(urllib.error.HTTPError),
            urllib.request.urlopen(f"{address}{path}{secret}") as reply,
        ):
            assert b"key of the arena" not in reply.read()


def test_words_and_states_select(page) -> None:
    assert shown(page, text="FOX") == ["p000", "p001"]
    both = [f"p{i:03d}" for i, text in enumerate(PROMPTS) if "number" in text and "1" in f"p{i:03d} {text}"]
    assert shown(page, text="1 number") == both
    assert shown(page, text="قطة") == ["p002"]
    assert shown(page, text="p004") == ["p004"]
    assert shown(page, state="missing") == ["p001", "p007"]
    assert shown(page, state="missing", contenders=["sdxl-turbo@1"]) == []
    assert "No prompt matches" in page.locator("#rows .pager").first.inner_text()
    assert len(shown(page, state="complete")) == 38


def test_gradio_controls_reach_the_script(page) -> None:
    shown(page)
    page.get_by_label("Words of the prompt, or its id").fill("fox")
    page.wait_for_function("document.querySelectorAll('#rows .row').length === 2", timeout=WAIT)
    page.get_by_label("Words of the prompt, or its id").fill("")
    page.wait_for_function("document.querySelectorAll('#rows .row').length === 24", timeout=WAIT)
    page.locator("#rows .pager button", has_text="Next").first.click()
    assert page.locator("#rows .row").count() == 16
    assert page.title() == "Turbo against its rivals: images"
    assert page.problems == []
    assert {url.split("/")[2].split(":")[0] for url in page.asked if url.startswith("http")} == {"127.0.0.1"}


def test_two_images_are_compared_by_divider_and_zoom(page) -> None:
    shown(page)
    page.locator("#rows .row").first.locator("figure button").nth(3).click()
    dialog = page.locator("dialog.compare")
    assert dialog.evaluate("e => e.open")
    assert [select.input_value() for select in dialog.locator("select").all()] == ["3", "0"]
    page.wait_for_function(
        "[...document.querySelectorAll('dialog.compare .stage img')].every(i => i.complete && i.naturalWidth)",
        timeout=WAIT,
    )
    sizes = page.evaluate(
        "[...document.querySelectorAll('dialog.compare .stage img')].map(i => i.naturalWidth)"
    )
    assert sizes == [48, 24]
    box = dialog.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    page.mouse.up()
    clips = page.evaluate(
        "[...document.querySelectorAll('dialog.compare .stage img')].map(i => i.style.clipPath)"
    )
    ends = [[float(number) for number in re.findall(r"[\d.]+", clip)] for clip in clips]
    assert max(ends[0]) == pytest.approx(box["width"] * 0.75, abs=2)
    assert max(ends[1]) == pytest.approx(box["width"] * 0.25, abs=2)
    page.mouse.wheel(0, -500)
    assert dialog.locator("output").inner_text() == "115%"
    transforms = page.evaluate(
        "[...document.querySelectorAll('dialog.compare .stage img')].map(i => i.style.transform)"
    )
    assert transforms[0] == transforms[1]
    assert "FID ↓" in dialog.locator(".values").inner_text()
    page.keyboard.press("Escape")


def test_new_images_appear_while_the_page_is_open(page, folder: StudyFolder) -> None:
    shown(page, state="missing")
    assert page.locator("#rows .none").count() == 2
    row = json.loads(folder.generations_file.read_text().splitlines()[0])
    path = folder.image("sdxl@50", "p001", 0)
    path.write_bytes(Path(folder.image("sdxl@50", "p000", 0)).read_bytes())
    with folder.generations_file.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**row, "contender": "sdxl@50", "prompt_id": "p001"}) + "\n")
    page.wait_for_function("document.querySelectorAll('#rows .none').length === 1", timeout=WAIT)
    assert "199 of 200 images" in page.locator("#rows .pager").first.inner_text()


def test_a_phone_has_two_columns_and_nothing_beside_the_screen(page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    shown(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    tops = page.evaluate(
        "[...document.querySelectorAll('#rows .row figure')].slice(0, 3).map(f => f.getBoundingClientRect().top)"
    )
    assert tops[0] == tops[1] < tops[2]
