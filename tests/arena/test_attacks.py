"""What a hostile rater, link, file or site tries: refused, logged, nothing changed, nothing run."""

import csv
import io
import json
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import inspect

from arena import admission
from arena.db import raters as register
from arena.db import schema
from arena.results import export
from arena.shown.images import STEP, displayed, filled
from arena.web import admin_views
from arena.web.app import DELAY, create_app, rest_of_delay
from bench.errors import InputError
from tests.support.arena_desk import KEY, POST, Clock, arrive, log, make_desk, start, vote_all
from tests.support.arena_study import NAMES

HOSTILE = (
    "'; DROP TABLE votes; --",
    '" OR ""="',
    "<script>alert(1)</script>",
    '=HYPERLINK("http://evil.test")',
    "../../etc/passwd",
    "%00\x00",
    "\u202egnp.exe",
    "🦊" * 50,
    "\ud800",
)


@pytest.fixture
def desk(tmp_path, database_url):
    made = make_desk(tmp_path / "s", Clock(), database_url, votes_per_pair=30)
    yield made
    made.database.close()


@pytest.fixture
def client(desk):
    return TestClient(create_app(desk, KEY), base_url="http://arena.test")


def send(client, path, body):
    """Posts JSON that may hold text no UTF-8 can: escaped, as a script may send it."""
    headers = {**POST, "Content-Type": "application/json"}
    return client.post(path, content=json.dumps(body).encode(), headers=headers)


def tables_of(desk):
    return set(inspect(desk.database.engine).get_table_names()) - {"alembic_version"}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_every_field_is_text_or_refused(desk, client, text):
    link = {"PROLIFIC_PID": text, "STUDY_ID": text, "SESSION_ID": text}
    if "\x00" in text or "\ud800" in text:  # no database can store that: refused before it is asked
        for key, value in ((text, "x"), ("x", text), ("PROLIFIC_PID", text)):
            body = {"consent": True, "parameters": {key: value}}
            assert send(client, "/api/start", body).status_code == 422
        link = {}
    ballot = start(client, **link)["ballots"][0]
    for path, body in (
        ("/api/vote", {"token": text, "answer": "left"}),
        ("/api/vote", {"token": ballot["token"], "answer": text}),
        ("/api/skip", {"token": text}),
        ("/api/undo", {"token": text}),
        ("/api/state", {text: text}),
        ("/api/start", {"consent": text}),
    ):
        # the token is too long, or nobody's; either way a reason comes back, and no page with the text in it
        reply = send(client, path, body)
        assert reply.status_code in (403, 404, 409, 422), (path, body)
        assert set(reply.json()) <= {"error", "state"}
        assert reply.headers["content-type"] == "application/json"
    stranger = TestClient(client.app, base_url="http://arena.test")
    invited = {"consent": True, "parameters": {"invite": text}}
    assert send(stranger, "/api/start", invited).status_code in (403, 422)
    for path in ("/i/", "/static/", "/?lang="):
        reply = client.get(path + quote(text.encode("utf-8", "replace"), safe=""))
        assert reply.status_code < 500
        assert text not in reply.text
    assert tables_of(desk) == set(schema.metadata.tables)
    assert log(desk) == []
    with desk.database.reading() as tx:
        assert [r.group_label for r in register.all_raters(tx.db)] == ["prolific" if link else ""]


def test_every_refusal_is_logged_without_what_was_sent(client, caplog):
    start(client)
    client.post("/api/vote", json={"token": "secret-of-somebody", "answer": "left"}, headers=POST)
    client.post("/api/vote", json={"token": "secret-of-somebody", "answer": "left"})
    client.get("/i/secret-of-somebody")
    refusals = [r.getMessage() for r in caplog.records if r.getMessage().startswith("refused")]
    assert len(refusals) == 3
    assert "secret-of-somebody" not in caplog.text.replace("/i/secret-of-somebody", "")


def test_an_expired_token_is_refused_and_another_pair_handed_out(desk, client):
    held = start(client)["ballots"]
    desk.clock.now += 60 * desk.settings.expire_minutes + 1
    reply = client.post("/api/vote", json={"token": held[0]["token"], "answer": "left"}, headers=POST)
    assert (reply.status_code, reply.json()["error"]) == (410, "expired")
    assert {b["token"] for b in reply.json()["state"]["ballots"]}.isdisjoint({b["token"] for b in held})
    assert log(desk) == []


def test_a_formula_in_a_label_reaches_no_spreadsheet_cell(desk):
    admission.create_invites(desk.database, label="=cmd|' /C calc'!A0", count=1, uses=1)
    with desk.database.writing() as tx:
        register.add_rater(tx.db, "r", now=0.0, group="=cmd|' /C calc'!A0")
    vote_all(desk, "r", limit=2)
    for kind in ("csv", "pairs"):
        text = export.exported(desk.database, desk.prompts, kind, desk.exclusion).decode()
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert "'=cmd|' /C calc'!A0" in cells
        assert not [cell for cell in cells if cell[:1] in "=+@\t\r" and cell]


def test_the_administrators_page_shows_names_as_text(desk):
    with desk.database.writing() as tx:
        register.add_rater(tx.db, "r", now=0.0, group="<img src=x onerror=alert(1)>")
        tx.db.execute(
            schema.pairs.update().where(schema.pairs.c.id == 1).values(first="<script>alert(1)</script>")
        )
    for html in (admin_views.progress(desk), admin_views.matrix(desk)):
        assert "<script>" not in html
    assert "&lt;script&gt;" in admin_views.matrix(desk)


def test_the_matrix_says_who_beat_whom_from_both_sides(desk):
    rater = arrive(desk)
    vote_all(desk, rater, "left", 9)
    html = admin_views.matrix(desk)
    with desk.database.reading() as tx:
        pair = next(p for p in tx.pairs() if p.voted)
    share = round(100 * pair.first_wins / pair.voted)
    assert f"{share}%<br>" in html
    assert f"{100 - share}%<br>" in html


def test_every_image_answer_takes_a_multiple_of_the_delay():
    for spent in (0.0, 1e-6, 0.03, DELAY, DELAY + 1e-9, 0.2301, 3.0):
        total = spent + rest_of_delay(spent)
        assert total >= DELAY - 1e-9
        assert total / DELAY == pytest.approx(round(total / DELAY))
        assert rest_of_delay(spent) >= 0


def test_once_rendered_no_answer_depends_on_the_files_of_the_models(desk, client):
    """What a clock could tell is gone."""
    assert [fault for fault in desk.images.faults() if fault] == []
    files = list(desk.images.shown.folder.iterdir())
    assert len(files) == len(desk.images.made)
    assert not any(name in path.name for path in files for name in (*NAMES, "secret"))
    for contender, prompt, replicate in desk.images.made:
        desk.folder.image(contender, prompt, replicate).unlink()
    for ballot in start(client)["ballots"]:
        assert client.get("/" + ballot["left"]).status_code == 200


def test_a_filled_picture_is_the_same_picture_at_any_length(tmp_path):
    rng = np.random.default_rng(0)
    for side, detail in ((64, 64), (64, 4), (33, 33)):
        pixels = rng.integers(0, 256, (detail, detail, 3), dtype=np.uint8).repeat(side // detail, 0)
        pixels = pixels.repeat(side // detail, 1)
        Image.fromarray(pixels).save(tmp_path / "source.png")
        webp = displayed(tmp_path / "source.png", side)
        coarse = displayed(tmp_path / "source.png", side, None, "degraded")
        assert len(coarse) < STEP  # every answer is at least so long: a check does not stand out
        for length in (len(webp) + len(webp) % 2, len(webp) + 1000 + len(webp) % 2, 2**18):
            long = filled(webp, length)
            assert len(long) == length
            with Image.open(io.BytesIO(long)) as shown:
                assert np.array_equal(np.asarray(shown), pixels)
        with pytest.raises(InputError, match="start the server anew"):
            filled(webp, len(webp) - 2)


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_rendered(desk):
    broken = desk.folder.image(NAMES[0], "secret0", 0)
    broken.write_bytes(broken.read_bytes()[:40])
    faults = [str(fault) for fault in desk.images.faults() if fault]
    assert len(faults) == 1
    assert str(broken) in faults[0]
    assert len(list(desk.images.shown.folder.glob("*.webp"))) == len(desk.images.made) - 1
