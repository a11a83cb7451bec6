"""The sheet for an ethics board says what the study file says, and what is missing."""

import hashlib

from typer.testing import CliRunner

from arena.cli.app import app
from arena.cli.irb import as_html
from arena.web.consent import consent_of
from arena.web.languages import languages
from bench.study.participation import CONSENT_FIELDS
from tests.support.arena_study import make_study

WORDS = {name: {"en": f"The {name}, in <English>.", "de": f"{name}, deutsch."} for name in CONSENT_FIELDS}


def test_the_sheet_holds_every_statement_the_consent_of_every_language_and_its_hash(tmp_path):
    consent = {**WORDS, "version": "7", "text": {"en": "I agree.\n\nReally.", "de": "Ich stimme zu."}}
    study, _ = make_study(
        tmp_path / "s",
        consent=consent,
        votes_per_rater=45,
        instructions={"en": "Look closely.", "de": "Genau!"},
        screening={"adult": {"text": "18?", "options": {"yes": "Yes", "no": "No"}, "accept": ("yes",)}},
    )
    result = CliRunner().invoke(app, ["irb", str(tmp_path / "s"), "--pay", "12"])
    assert result.exit_code == 0, result.output
    for name in CONSENT_FIELDS:
        assert f"The {name}, in <English>." in result.stdout
    assert "45 answers" in result.stdout
    assert "about 6 minutes, worth 1.20 at 12 an hour" in result.stdout
    assert "screening, adult" in result.stdout
    english = "\n\n".join(
        [
            f"{heading}: The {name}, in <English>."
            for name, heading in zip(CONSENT_FIELDS, headings(), strict=True)
        ]
        + ["I agree.\n\nReally.", "Look closely."]
    )
    digest = hashlib.sha256(english.encode()).hexdigest()
    assert f"version 7, SHA-256 `{digest}`" in result.stdout
    assert consent_of(study.file.arena, "en").sha256 == digest
    assert {code for code in languages() if f"(`{code}`)" in result.stdout} == {*languages()}
    assert "not translated: some of the study's words have no 'ar'" in result.stderr
    assert "no 'de'" not in result.stderr


def headings():
    return [languages()["en"][f"consent_{name}"] for name in CONSENT_FIELDS]


def test_what_the_board_asks_for_and_the_study_does_not_say_is_named(tmp_path):
    make_study(tmp_path / "s", consent={"purpose": "To see."})
    out = tmp_path / "irb.html"
    result = CliRunner().invoke(app, ["irb", str(tmp_path / "s"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "not stated: [arena.consent] risks" in result.stderr
    assert "not stated: [arena.consent] purpose" not in result.stderr
    assert out.read_text().count("Not stated.") == len(CONSENT_FIELDS) - 1


def test_html_in_a_study_files_words_stays_text():
    page = as_html("# A\n\n<script>alert(1)</script> **b**", "<t>")
    assert "<script>alert" not in page
    assert "<strong>b</strong>" in page
