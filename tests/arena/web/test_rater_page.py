"""The rater's page as Gradio sends it: every language whole, nothing of Gradio's API, no word of the study."""

import hashlib
import json
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from arena.admission import unseal
from arena.db import raters
from arena.web import ballot, rater_page
from arena.web.app import create_app
from arena.web.languages import languages, texts
from bench.errors import InputError
from bench.study.questions import Question
from tests.support.arena_desk import KEY, POST, make_desk

QUESTIONS = ("alignment", "quality", "faithfulness")


def question(name, **more):
    return Question(name=name, **more)


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    rater_page.mount(
        app, [question("alignment"), question("quality")], language="de", native=512, smallest=256
    )
    return TestClient(app)


def config(html):
    """What Gradio's page says to its script."""
    return json.loads(re.search(r"window\.gradio_config = (.*?);</script>", html, re.DOTALL).group(1))


def test_the_least_size_of_a_picture_is_the_studys(tmp_path):
    """`min_image_px` reaches the page, which asks for a larger window below it."""
    desk = make_desk(tmp_path / "s", min_image_px=96, questions=("quality",))
    page = config(TestClient(create_app(desk, KEY), base_url="http://arena.test").get("/").text)
    settings = [
        c["props"]["props"]["settings"] for c in page["components"] if c["props"].get("elem_id") == "ballot"
    ]
    assert {one["smallest"] for one in settings} == {96}
    assert {one["largest"] for one in settings} == {
        96
    }  # never below what is asked for, whatever the images' size
    desk.database.close()


@pytest.mark.parametrize("language", ["en", "de", "es", "zh", "ar"])
def test_an_order_to_change_a_picture_is_not_called_a_description(language):
    asked = question("alignment")
    t = texts(language)
    assert ballot.question_text(asked, language, instructed=True) == t["question_alignment_edit"]
    assert ballot.question_text(asked, language) == t["question_alignment"] != t["question_alignment_edit"]
    (line,), _ = ballot.how_to([asked], t, language, instructed=True)
    assert line == t["only_alignment_edit"]
    own = question("alignment", text={language: "Which one?"})
    assert ballot.question_text(own, language, instructed=True) == "Which one?"
    html = rater_page._render("welcome.html", [asked], language, instructed=True)
    assert html.count("<svg") == 3  # the original is in the example


def test_every_language_has_every_text():
    tables = languages()
    assert set(tables) == {"ar", "de", "en", "es", "zh"}
    for table in tables.values():
        assert set(table) == set(tables["en"])
        assert all(table.values())
        for key, words in tables["en"].items():
            assert sorted(re.findall(r"{\w+}", words)) == sorted(re.findall(r"{\w+}", table[key])), key
    assert {code for code, table in tables.items() if table["direction"] == "rtl"} == {"ar"}
    with pytest.raises(InputError, match="unknown language"):
        texts("fr")


@pytest.mark.parametrize(
    ("path", "language"), [("/", "de"), ("/de", "de"), ("/en", "en"), ("/ar", "ar"), ("/zh", "zh")]
)
def test_a_page_is_in_its_language_before_any_script_runs(client, path, language):
    reply = client.get(path)
    html = reply.text
    t = languages()[language]
    assert f'lang="{language}"' in html
    assert f'dir="{t["direction"]}"' in html
    assert f"<title>{t['title']}</title>" in html
    assert t["page_loading"] in html
    (component,) = [c for c in config(html)["components"] if c["props"].get("elem_id") == "ballot"]
    assert component["props"]["props"]["settings"]["questions"]["quality"]["text"] == t["question_quality"]


def test_no_component_has_a_handler_on_the_server(client):
    found = config(client.get("/").text)
    assert found["dependencies"]
    assert not any(d["backend_fn"] for d in found["dependencies"])


@pytest.mark.parametrize(
    "path",
    [
        "/config", "/gradio_api/info", "/gradio_api/queue/status", "/gradio_api/heartbeat/x", "/monitoring", "/info",
        "/gradio_api/file=/etc/passwd", "/file=/etc/passwd", "/theme.css/", "/static/../../routes.py", "/login_check",
        "/static/js/..%2f..%2fmanifest.json", "/fr", "/zh/", "/gradio_api/startup-events",
        "/manifest.json", "/robots.txt",
    ],
)  # fmt: skip
def test_of_gradio_only_the_page_is_reached(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/run/predict"]
)
def test_nothing_is_posted_to_gradio(client, path):
    assert client.post(path, json={"data": [], "fn_index": 0}).status_code == 404


def test_what_never_changes_is_kept_and_the_page_is_not(client):
    html = client.get("/").text
    asset = re.search(r'src="\./(assets/[\w.-]+)"', html).group(1)
    assert "immutable" in client.get("/" + asset).headers["cache-control"]
    assert "cache-control" not in client.get("/").headers  # the server's own rule adds no-store


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("language", ["en", "de"])
def test_the_welcome_speaks_of_the_one_question_that_is_asked(name, language):
    html = rater_page._render("welcome.html", [question(name)], language)
    assert "Sometimes" not in html
    assert "Manchmal" not in html
    assert html.count("<svg") == (3 if name == "faithfulness" else 2)
    assert ('class="prompt"' in html) == (name != "quality")


def test_words_cannot_become_markup_or_a_template(monkeypatch):
    vicious = {
        **languages()["en"],
        "report_title": "</h2><script>`${alert(1)}{{x}}\\",
        "title": "</title><b>",
    }
    monkeypatch.setattr(ballot, "texts", lambda language: vicious)
    monkeypatch.setattr(rater_page, "texts", lambda language: vicious)
    html = ballot.template([question("alignment")], "en")
    assert not set("`${}\\") & set(html)
    assert "<script" not in html
    assert "<title></title>" not in rater_page.localised('<meta charset="utf-8" />', "en")


def test_seven_points_are_ordered_from_left_to_right():
    choices = ballot._choices(question("quality", scale=True), languages()["en"])
    assert [c["scale"] for c in choices] == [3, 2, 1, 0, -1, -2, -3]
    assert [c["answer"] for c in choices] == ["left"] * 3 + ["tie"] + ["right"] * 3
    assert [c["key"] for c in choices] == list("1234567")
    assert choices[0]["beside"] == "Left much better"
    assert choices[-1]["stacked"] == "Bottom much better"


def test_a_question_of_the_operators_own_speaks_the_language_of_the_page_or_english():
    own = Question(name="hands", text={"en": "Whose hands are better?", "de": "Wessen Hände sind besser?"})
    assert ballot.question_text(own, "de") == "Wessen Hände sind besser?"
    assert ballot.question_text(own, "zh") == "Whose hands are better?"
    assert "Whose hands" in ballot.how_to([own, question("quality")], languages()["zh"], "zh")[0][0]


def test_the_studys_own_consent_is_shown_and_its_version_and_hash_stay_with_the_rater(tmp_path):
    english = "We study <pictures>.\n\nYour panel id is kept for payment."
    desk = make_desk(
        tmp_path / "c", consent={"version": "2", "text": {"en": english, "de": "Wir untersuchen Bilder."}}
    )
    client = TestClient(create_app(desk, KEY), base_url="http://arena.test")
    page = client.get("/").text
    assert "We study &lt;pictures&gt;." in page or "We study \\u0026lt;pictures" in page
    assert "Your panel id is kept for payment." in page
    for lang, text in (("de", "Wir untersuchen Bilder."), ("zh", english), ("", english)):
        person = TestClient(client.app, base_url="http://arena.test")
        body = {"consent": True}
        assert person.post(f"/api/start?lang={lang}", json=body, headers=POST).status_code == 200
        rater = unseal(KEY, person.cookies["arena_rater"]).rater_id
        with desk.database.reading() as tx:
            row = raters.rater(tx.db, rater)
        digest = hashlib.sha256(text.encode()).hexdigest()
        assert (row.consent_version, row.consent_sha256) == ("2", digest), lang
    desk.database.close()
