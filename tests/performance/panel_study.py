"""A whole panel study, SIMULATED, from the panel's link to the payment files, on SQLite and PostgreSQL.

    python -m tests.performance.panel_study FOLDER [--only sqlite] [--out results/arena/panel_study.json]

A real server, invited participants only. Two people in Chromium, one at a desk and one on a phone, whose pages are
photographed into FOLDER; the others over HTTP: careful ones, a careless one, one who fails the practice, one turned
away by the screening question, one who withdraws, one who does not agree, strangers. Then the operator's commands.
Exits 1 where a result is not the one that the people's behaviour calls for. No model made the pictures.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx

from arena.db.database import VoteDatabase
from arena.db.schema import sqlite_url
from bench.records import Generation, Prompt
from bench.store.study_folder import StudyFolder
from tests.support.arena_pictures import DESKTOP, NAMES, PHONE, SCENES, SIDE, TOKEN, draw
from tests.support.arena_server import BROWSER_FLAGS, CHROMIUM, POST, Server, postgres

STUDY = "65a0f00dcafe"
LIMIT = 8
STUDY_FILE = f"""name = "simulated-panel"
title = "SIMULATED panel study"
contenders = {list(NAMES)}
display_size = {SIDE}
[prompts]
set = "parti"
[arena]
questions = ["alignment"]
votes_per_pair = 24
votes_per_rater = {LIMIT}
attention_rate = 0.25
repeat_rate = 0.0
min_seconds = 0.6
expire_minutes = 60
first_vote_minutes = 60
completion_code = "DONE1234"
return_link = "https://app.prolific.com/submissions/complete?cc={{code}}"
instructions = {{en = "Look at the whole picture before you answer.", de = "Sehen Sie das ganze Bild an."}}
[arena.codes]
screened_out = "OUT55555"
full = "FULL7777"
no_consent = "NOCONS99"
[arena.panel]
studies = ["{STUDY}", "HIT1"]
reward = 0.6
fee = 0.33
[arena.consent]
version = "2026-11 (simulated)"
investigator = "A simulated investigator"
institution = "A simulated institute; no board has seen this study"
purpose = {{en = "To see whether the whole way from link to payment works.", de = "Zu prüfen, ob der ganze Weg geht."}}
duration = "About 3 minutes"
pay = "0.60 on completion, 12 an hour"
risks = "None beyond those of looking at a screen"
data = "Your panel id until you are paid, your answers and their times for good"
withdrawal = "Close the page at any time; the link on the last page withdraws your answers"
contact = "panel@example.org"
[arena.screening.adult]
text = {{en = "Are you 18 or older?", de = "Sind Sie 18 oder älter?"}}
options = {{yes = {{en = "Yes", de = "Ja"}}, no = {{en = "No", de = "Nein"}}}}
accept = ["yes"]
[arena.demographics.screen]
text = {{en = "What do you look at?", de = "Worauf sehen Sie?"}}
options = {{phone = {{en = "A phone", de = "Ein Telefon"}}, desk = {{en = "A screen", de = "Ein Bildschirm"}}}}
[arena.practice]
pairs = 2
needed = 1
"""


def make_folder(path: Path) -> StudyFolder:
    folder = StudyFolder(path)
    prompts = [Prompt(id=f"scene{i}", text=text, category="Outdoors") for i, (text, *_) in enumerate(SCENES)]
    folder.write_study(STUDY_FILE, prompts)
    rows = []
    for k, name in enumerate(NAMES):
        for i, (_, *scenes) in enumerate(SCENES):
            target = folder.image(name, f"scene{i}", 0)
            target.parent.mkdir(parents=True, exist_ok=True)
            draw(scenes[k % 2], seed=10 * i + k).save(target, "WEBP", lossless=True, method=0)
            data = target.read_bytes()
            rows.append(
                Generation(
                    contender=name, prompt_id=f"scene{i}", replicate=0, seed=1,
                    sha256=hashlib.sha256(data).hexdigest(), width=SIDE, height=SIDE, seconds=0.1,
                    settings="drawn", bytes=len(data),
                )
            )  # fmt: skip
    folder.append(folder.generations_file, rows)
    return folder


def prolific(who: str, study: str = STUDY) -> dict[str, str]:
    return {"PROLIFIC_PID": who, "STUDY_ID": study, "SESSION_ID": f"session-{who}"}


def mturk(who: str) -> dict[str, str]:
    return {"workerId": who, "hitId": "HIT1", "assignmentId": f"assignment-{who}"}


class Answers:
    """Looks up the known answer of a pair in the database, as no rater can."""

    def __init__(self, database: VoteDatabase) -> None:
        self.database = database

    def expected(self, token: str) -> str:
        with self.database.reading() as tx:
            one = tx.by_token(token)
        return one.expected if one else ""

    def given(self, token: str, number: int, *, care: bool) -> str:
        expected = self.expected(token)
        if not expected:
            return ("left", "right", "tie")[number % 3]
        return expected if care else {"left": "right", "right": "left"}[expected]


class Person:
    """Somebody over HTTP, in a session of their own."""

    def __init__(self, url: str, link: dict[str, str], answers: Answers) -> None:
        self.client = httpx.Client(base_url=url, headers=POST, timeout=120, verify=False)
        self.link, self.answers = link, answers
        self.state: dict[str, Any] = {}

    def come(self, adult: str = "yes") -> httpx.Response:
        body = {"consent": True, "parameters": self.link, "declared": {"adult": adult, "screen": "phone"}}
        reply = self.client.post("/api/start", json=body)
        self.state = reply.json().get("state", {})
        return reply

    def answer(self, *, practice: bool = True, checks: bool = True) -> None:
        number = 0
        while self.state.get("stage") == "vote":
            ballot = self.state["ballots"][0]
            care = practice if "practice" in ballot else checks
            time.sleep(0.75)
            body = {
                "token": ballot["token"],
                "answer": self.answers.given(ballot["token"], number, care=care),
            }
            self.state = self.client.post("/api/vote", json=body).json()["state"]
            number += 1


class Camera:
    """Pages of one browser size, into files."""

    def __init__(self, browser: Any, out: Path, kind: str, size: str, settings: dict[str, Any]) -> None:
        self.browser, self.out, self.kind, self.size, self.settings = browser, out, kind, size, settings
        self.faults: list[str] = []

    @contextmanager
    def page(self) -> Iterator[Any]:
        context = self.browser.new_context(**self.settings)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        yield page
        context.close()

    def keep(self, page: Any, name: str, *, full: bool = False) -> None:
        page.wait_for_timeout(400)
        page.screenshot(path=self.out / f"{self.kind}-{name}-{self.size}.png", full_page=full)


def address(url: str, link: dict[str, str], path: str = "/") -> str:
    return f"{url}{path}?{'&'.join(f'{key}={value}' for key, value in link.items())}"


def take_part(
    camera: Camera, url: str, link: dict[str, str], answers: Answers, path: str = "/"
) -> dict[str, Any]:
    """A careful rater in a real browser, every page of whose is kept; what the last page says."""
    with camera.page() as page:
        page.goto(address(url, link, path))
        page.wait_for_selector("#start", state="visible")
        camera.keep(page, "1-welcome", full=True)
        page.click("#start")  # the screening question is not answered yet
        page.wait_for_selector("#refusal:not([hidden])")
        page.select_option("[data-declare=adult]", "yes")
        page.select_option("[data-declare=screen]", "desk")
        page.click("#start")
        for number in range(1, LIMIT + 3):
            page.wait_for_selector(f"body[data-ballot='{number}']")
            page.wait_for_timeout(900)
            name = {1: "2-practice", 2: "3-feedback", 3: "4-vote"}.get(number)
            if name:
                camera.keep(page, name)
            if number == 4:
                page.click("[data-part=more]")
                page.click("[data-part=move]")
                page.wait_for_selector("[data-part=move-dialog][open]")
                camera.keep(page, "5-move")
                page.click("[data-part=move-dialog] [data-close]")
            with page.expect_response("**/api/vote*") as sent:
                token = _open_token(answers, link)
                answer = answers.given(token, number, care=True)
                page.click(f"[data-answer={answer}]")
            assert sent.value.ok, sent.value.text()
        page.wait_for_selector("#end", state="visible")
        camera.keep(page, "6-end")
        code = page.text_content("#completion output")
        page.click("#withdraw a")
        page.wait_for_selector("form button")
        camera.keep(page, "7-withdraw")
        return {"code": code, "withdraw": page.url}


def _open_token(answers: Answers, link: dict[str, str]) -> str:
    """Of the pair on the rater's screen."""
    from arena.db import raters

    with answers.database.reading() as tx:
        rater = raters.panel_rater(tx.db, "prolific", link["PROLIFIC_PID"])
        assert rater is not None
        return tx.open_assignments(rater)[0].token


def other_pages(camera: Camera, url: str, withdrawn: str) -> None:
    """Pages of those who do not take part."""
    with camera.page() as page:
        page.goto(address(url, prolific("P13")))
        page.click("#decline")
        page.wait_for_selector("#end", state="visible")
        camera.keep(page, "8-declined")
    with camera.page() as page:
        page.goto(address(url, prolific("stranger")))
        page.wait_for_selector("#start", state="visible")
        page.select_option("[data-declare=adult]", "yes")
        page.click("#start")
        page.wait_for_selector("#refusal:not([hidden])")
        camera.keep(page, "9-stranger", full=True)
    with camera.page() as page:
        page.goto(withdrawn)
        camera.keep(page, "10-withdrawn")


def admin_pages(camera: Camera, url: str) -> None:
    with camera.page() as page:
        page.goto(url + "/admin-login")
        page.fill("input[name=token]", TOKEN)
        page.click("button")
        page.wait_for_selector("text=/votes counted|no votes to rate/")
        for tab in ("Leaderboard", "Pairs", "Raters", "Checks", "Reports"):
            button = page.get_by_role("tab", name=tab)
            if button.is_visible():
                button.click()
            else:  # a phone's bar holds what does not fit in a menu
                page.locator(".overflow-menu > button").first.click()
                page.locator(".overflow-dropdown button", has_text=tab).first.click()
            page.wait_for_timeout(1200)
            camera.keep(page, f"11-admin-{tab.lower()}", full=True)


def command(folder: StudyFolder, url: str | None, verb: str, *given: str) -> str:
    words = [sys.executable, "-m", "arena.cli.app", verb, str(folder.path), *given]
    words += ["--database", url] if url else []
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{verb}: {done.stderr}"
    return done.stdout


def study(url: str | None, kind: str, out: Path, scratch: Path) -> dict[str, Any]:
    """The whole study on one database; what came of it."""
    from playwright.sync_api import sync_playwright

    folder = make_folder(scratch / kind)
    ids = scratch / f"{kind}.txt"
    ids.write_text("".join(f"P{n:02}\n" for n in range(1, 14)))
    workers = scratch / f"{kind}-mturk.txt"
    workers.write_text("W01\nW02\n")
    command(folder, url, "list", str(ids))
    command(folder, url, "list", str(workers), "--provider", "mturk")
    wrong: list[str] = []
    with Server(folder.path, database=url, admin=TOKEN, options=["--invited-only"]) as server:
        key = bytes.fromhex((folder.path / "arena.key").read_text())
        answers = Answers(VoteDatabase(url or sqlite_url(folder.votes_file), key))
        codes, withdrawn = over_http(server.url, answers, wrong)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
            for size, settings, who, path in (
                ("desktop", DESKTOP, "P01", "/"),
                ("phone", PHONE, "P02", "/de"),
            ):
                camera = Camera(browser, out, kind, size, settings)
                codes[who] = take_part(camera, server.url, prolific(who), answers, path)["code"]
                other_pages(camera, server.url, withdrawn)
                admin_pages(camera, server.url)
                wrong += [f"{size}: {fault}" for fault in camera.faults]
            browser.close()
        answers.database.close()
    return {"database": kind, **operators_work(folder, url, codes, out, wrong), "wrong": wrong}


def over_http(url: str, answers: Answers, wrong: list[str]) -> tuple[dict[str, str], str]:
    """Everybody but those in Chromium: the code each was shown, and the address of the one who withdrew."""
    codes: dict[str, str] = {}
    people = {f"P{n:02}": Person(url, prolific(f"P{n:02}"), answers) for n in range(3, 13)}
    people |= {who: Person(url, mturk(who), answers) for who in ("W01", "W02")}
    for who, one in people.items():
        one.come(adult="no" if who == "P10" else "yes")
        one.answer(practice=who != "P11", checks=who != "P09")
        codes[who] = one.state.get("completion_code") or ""
    for link, error in ((prolific("stranger"), "unverified"), (prolific("P03", "another"), "wrong_study")):
        reply = Person(url, link, answers).come()
        if reply.json().get("error") != error:
            wrong.append(f"{link}: {reply.text[:100]}, not {error}")
    leaving = people["P12"].client
    withdrawn = leaving.get("/withdraw", follow_redirects=False).headers["location"]
    if leaving.post(f"/{withdrawn}").status_code != 200:
        wrong.append("P12 could not withdraw")
    return codes, f"{url}/{withdrawn}"


def operators_work(
    folder: StudyFolder, url: str | None, codes: dict[str, str], out: Path, wrong: list[str]
) -> dict[str, Any]:
    expected = dict.fromkeys([f"P{n:02}" for n in (*range(1, 10), 12)] + ["W01", "W02"], "DONE1234")
    expected |= {"P09": "OUT55555", "P10": "OUT55555", "P11": "OUT55555"}
    wrong += [
        f"{who} was shown {codes.get(who)}, not {code}"
        for who, code in expected.items()
        if codes.get(who) != code
    ]
    table = list(csv.DictReader(io.StringIO(_file(folder, url, "table"))))
    action = {row["participant"]: row["action"] for row in table}
    # The person who pays looks at those to be reviewed, and rejects the careless one.
    command(folder, url, "review", "P09", "--as", "excluded", "--reason", "failed both attention checks")
    files = {
        kind: _file(folder, url, kind) for kind in ("prolific-approve", "prolific-reject", "mturk-review")
    }
    files |= {kind: _file(folder, url, kind, "--bonus", "0.25") for kind in ("prolific-bonus", "mturk-bonus")}
    for kind, text in files.items():
        (out / f"{folder.path.name}-{kind}.txt").write_text(text)
    approved = {*files["prolific-approve"].split()}
    if approved != {f"P{n:02}" for n in range(1, 9)} | {"P10", "P11", "P12"}:
        wrong.append(f"approved: {sorted(approved)}")
    if action.get("P09") != "review" or not files["prolific-reject"].startswith("participant,reason\nP09,"):
        wrong.append(f"the careless one: {action.get('P09')}; {files['prolific-reject']!r}")
    rated = json.loads(command(folder, url, "rate", "--bootstrap", "100", "--shuffles", "10", "--json"))
    verified = command(folder, url, "verify", "--json")
    sheet = out / f"{folder.path.name}-irb.html"
    words = [
        sys.executable,
        "-m",
        "arena.cli.app",
        "irb",
        str(folder.path),
        "--pay",
        "12",
        "--out",
        str(sheet),
    ]
    subprocess.run(words, check=True, capture_output=True)
    if "withdrawn by the rater" not in rated["excluded"]:
        wrong.append(f"the withdrawal is not counted: {rated['excluded']}")
    return {
        "participants": len(table),
        "actions": dict(sorted(action.items())),
        "codes": dict(sorted(codes.items())),
        "approved": sorted(approved),
        "votes_rated": rated["n_votes"],
        "left_out": rated["excluded"],
        "declared": rated.get("declared"),
        "log": json.loads(verified),
    }


def _file(folder: StudyFolder, url: str | None, kind: str, *more: str) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "file"
        command(folder, url, "participants", "--format", kind, "--out", str(path), *more)
        return path.read_text(encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for kind in ("sqlite", "postgresql"):
            if given.only in (None, kind):
                with postgres() if kind == "postgresql" else nullcontext() as server:
                    results.append(study(server.url if server else None, kind, given.folder, Path(scratch)))
                print(json.dumps(results[-1], indent=1), flush=True)
    if given.out:
        given.out.write_text(
            json.dumps({"simulated": True, "studies": results}, indent=1) + "\n", encoding="utf-8"
        )
    sys.exit(1 if any(one["wrong"] for one in results) else 0)


if __name__ == "__main__":
    main()
