"""The study file for people: the page is the schema's, a new file is a study, and the commands print them."""

from __future__ import annotations

import tomllib

import pytest
from typer.testing import CliRunner

from bench.cli.app import app
from bench.study.file import StudyFile
from bench.study.study import read, shipped
from bench.study.template import keys, new_study, page
from tests.conftest import ROOT


def test_the_page_is_what_the_schema_says():
    """After a change of the schema: python docs/study_file.py."""
    assert (ROOT / "docs" / "study-file.md").read_text(encoding="utf-8") == page()


def test_every_key_has_a_meaning_and_a_default_that_the_schema_takes():
    for key in keys():
        assert key.meaning, (key.table, key.name)
        if key.default not in ("", "required"):
            tomllib.loads(f"x = {key.default}")
    top = {key.name for key in keys() if not key.table}
    assert top | {"prompts", "generate", "metrics", "arena", "analysis", "report", "models"} == set(
        StudyFile.model_fields
    )


def test_a_new_study_is_a_study_and_what_it_shows_commented_out_is_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["new", "mine"])
    assert done.exit_code == 0, done.output
    study = read(tmp_path / "mine.toml")
    assert (study.name, len(study.prompts)) == ("mine", 20)
    text = (tmp_path / "mine.toml").read_text()
    shown = "".join(
        line.removeprefix("# ") + "\n"
        if line.startswith("# ") and " = " in line and "…" not in line
        else line + "\n"
        for line in text.splitlines()
        if "dtype" not in line
    )
    (tmp_path / "shown.toml").write_text(shown)
    assert read(tmp_path / "shown.toml").file == study.file
    with pytest.raises(ValueError, match="exists: choose another name"):
        CliRunner().invoke(app, ["new", "mine"], catch_exceptions=False)
    with pytest.raises(ValueError, match="cannot be a study's name"):
        CliRunner().invoke(app, ["new", "My Study"], catch_exceptions=False)


def test_a_shipped_study_is_printed_as_it_is():
    done = CliRunner().invoke(app, ["studies", "miniature"])
    assert done.output == shipped()["miniature"].read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="did you mean 'miniature'"):
        CliRunner().invoke(app, ["studies", "minature"], catch_exceptions=False)
    assert "sdxl@50" in new_study("x", ["sdxl@50"], "parti", 512, [])
