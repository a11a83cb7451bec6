"""Every verb of `arena`, through the command line as a person would call it."""

import json
import re
import sqlite3

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from arena.cli.app import app
from bench.errors import InputError
from tests.support.arena_study import NAMES, make_study

RUNNER = CliRunner()
VERBS = {
    "serve", "invite", "status", "export", "import", "simulate", "plan", "verify", "migrate", "rate", "forget",
    "list", "move", "review", "anchor", "participants",
}  # fmt: skip


@pytest.fixture
def study(tmp_path):
    _, folder = make_study(tmp_path / "s", votes_per_pair=12)
    return folder.path


def arena(*words, code=0):
    result = RUNNER.invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_every_verb_has_help_with_an_example():
    listed = arena("--help")
    assert set(re.findall(r"^[│ ]+([a-z]+)  ", listed, re.M)) >= VERBS
    for verb in VERBS:
        assert f"arena {verb} " in arena(verb, "--help"), verb


def test_a_study_from_migration_to_verified_ratings(study, tmp_path):
    assert arena("migrate", study).startswith("revision 0")
    codes = arena("invite", study, "--count", 3, "--label", "lab").split()
    assert len(set(codes)) == 3
    assert json.loads(arena("status", study, "--json"))["votes"] == 0
    said = json.loads(arena("simulate", study, "--raters", 6, "--strength", "sdxl@50=2", "--json"))
    assert said["strengths (logits)"]["sdxl@50"] == 2
    status = json.loads(arena("status", study, "--json"))
    assert (status["simulated"], status["phase"], status["raters"]) == (True, "open", 6)
    assert sum(p["voted"] for p in status["pairs"]) == status["votes"] > 50
    assert "sdxl-turbo@4" in arena("status", study)

    for kind in ("jsonl", "csv", "parquet", "pairs", "log"):
        arena("export", study, tmp_path / f"votes.{kind}", "--format", kind)
    rows = pq.read_table(tmp_path / "votes.parquet").to_pylist()
    assert len(rows) == said["simulated votes"]
    assert all(row["simulated"] for row in rows)

    assert json.loads(arena("verify", study, "--json")) == {"verified": len(rows)}
    assert json.loads(arena("verify", study, tmp_path / "votes.log", "--json")) == {"verified": len(rows)}
    other = f"sqlite:///{tmp_path}/replayed.sqlite"
    assert arena("import", study, tmp_path / "votes.log", "--database", other).startswith(f"{len(rows)} rows")
    assert json.loads(arena("verify", study, "--database", other, "--json")) == {"verified": len(rows)}

    rated = json.loads(arena("rate", study, "--json"))
    assert rated["simulated"] is True
    assert {row["contender"] for row in rated["questions"]["quality"]["ratings"]} == set(NAMES)
    assert "SIMULATED" in arena("rate", study)


def test_a_changed_vote_stops_verify_and_names_it(study, tmp_path):
    arena("simulate", study, "--raters", 2, "--votes", 4)
    log = tmp_path / "log.jsonl"
    arena("export", study, log, "--format", "log")
    lines = log.read_text().splitlines(keepends=True)
    changed = json.loads(lines[3])
    changed["answer"] = "tie" if changed["answer"] != "tie" else "left"
    log.write_text("".join([*lines[:3], json.dumps(changed) + "\n", *lines[4:]]))
    with pytest.raises(InputError, match="vote 4"):
        arena("verify", study, log)


def test_forgetting_erases_a_participant_and_keeps_the_votes(study):
    from arena import admission
    from arena.cli.arguments import open_database

    _, _, database, _ = open_database(str(study), study.parent, None)
    for person in ("anna", "bert"):
        admission.admit(database, {"PROLIFIC_PID": person}, now=1.0)
    written = b"".join(path.read_bytes() for path in study.glob("votes.sqlite*"))
    assert b"anna" in written
    assert b"bert" in written
    assert arena("forget", study, "anna") == "1 erased\n"
    assert arena("forget", study, "anna") == "0 erased\n"
    assert arena("forget", study, "--everybody") == "1 erased\n"
    # a server still has the file open, and yet no page and no journal keeps the name
    written = b"".join(path.read_bytes() for path in study.glob("votes.sqlite*"))
    assert b"anna" not in written
    assert b"bert" not in written
    admission.admit(database, {"PROLIFIC_PID": "carl"}, now=1.0)
    reader = sqlite3.connect(study / "votes.sqlite")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM raters").fetchall()  # reads on from the state before the erasure
    for who in ("carl", "carl", "--everybody"):
        with pytest.raises(InputError, match=r"not yet from votes\.sqlite-wal.*once more"):
            arena("forget", study, who)
    reader.close()
    assert arena("forget", study, "--everybody") == "0 erased\n"
    assert b"carl" not in b"".join(path.read_bytes() for path in study.glob("votes.sqlite*"))
    database.close()
    assert json.loads(arena("status", study, "--json"))["raters"] == 3
    with pytest.raises(InputError, match="say who"):
        arena("forget", study)


def test_plan_answers_with_votes():
    planned = json.loads(arena("plan", "--rate", 0.9, "--prompts", 20, "--repeats", 20, "--json"))
    assert planned["answer"]["votes"] > 0
    assert planned["answer"]["raters"] > 0


def test_wrong_words_are_one_line_with_the_cure(study):
    for words, cure in (
        (("simulate", study, "--strength", "sdxl@5=1"), "did you mean 'sdxl@50'"),
        (("simulate", study, "--strength", "nothing"), "contender=1.2"),
        (("export", study, "x", "--format", "xml"), "unknown format"),
        (("status", study.parent / "nowhere"), "nowhere"),
        (("status", study, "--database", "mysql://h/d"), "allowed are sqlite"),
    ):
        with pytest.raises(InputError, match=re.escape(cure)) as caught:
            arena(*words)
        assert "\n" not in str(caught.value)


def test_a_database_that_is_not_running_is_told_in_one_line(study, capfd, monkeypatch):
    from arena.cli import app

    url = "postgresql://arena@127.0.0.1:1/arena"  # nothing listens on port 1
    for verb in (["status", study], ["export", study, "votes.csv"], ["invite", study], ["verify", study]):
        monkeypatch.setattr("sys.argv", ["arena", *map(str, verb), "--database", url])
        with pytest.raises(SystemExit) as ended:
            app.main()
        told = capfd.readouterr().err
        assert ended.value.code == 2
        assert len(told.splitlines()) == 1, told
        assert told.startswith("arena: the database cannot be reached or used: ")
