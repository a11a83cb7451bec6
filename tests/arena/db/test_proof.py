"""Tampering of many kinds: each is caught, or named as beyond what the database alone can prove."""

import json
import shutil
import subprocess
from contextlib import closing
from dataclasses import replace

import pytest
from sqlalchemy import text

from arena.cli.anchors import append_anchor, commit_anchor, run_timestamp
from arena.db.proof import anchor, read_anchor, verify_database
from arena.db.vote_log import GENESIS, chain_hash, head_seal
from arena.shown.study_images import current_images
from bench.errors import InputError
from tests.support.arena_desk import KEY, Clock, arrive, log, make_desk, vote_all
from tests.support.arena_study import NAMES


@pytest.fixture
def desk(tmp_path, database_url):
    made = make_desk(tmp_path / "s", Clock(), database_url, votes_per_pair=6)
    for _ in range(2):
        vote_all(made, arrive(made), limit=6)
    yield made
    made.database.close()


def run(desk, *statements):
    with desk.database.engine.begin() as db:
        for statement in statements:
            db.execute(text(statement))


IN_THE_DATABASE = {
    "an answer": ["UPDATE votes SET answer = 'right' WHERE seq = 3"],
    "the sides": ['UPDATE assignments SET "left" = "right", "right" = "left" WHERE id = 3'],
    "a time": ["UPDATE votes SET seconds = 9.5 WHERE seq = 3"],
    "a vote removed": ["DELETE FROM votes WHERE seq = 3"],
    "a vote removed, the rest moved up": [
        "DELETE FROM votes WHERE seq = 3",
        "UPDATE votes SET seq = -seq WHERE seq > 3",
        "UPDATE votes SET seq = -seq - 1 WHERE seq < 0",
    ],
    "a vote added": [
        "INSERT INTO votes (seq, assignment_id, revision, answer, seconds, created, hash) "
        "SELECT 13, id, 0, 'left', 1.0, 0.0, 'f00d' FROM assignments WHERE state = 'open' AND id > 12 "
        "ORDER BY id LIMIT 1"
    ],
    "the probability of a pair": ["UPDATE assignments SET probability = 0.5 WHERE id = 3"],
    "the hash of an image": [f"UPDATE assignments SET left_sha256 = '{'0' * 64}' WHERE id = 3"],
    "a rater's group": ["UPDATE raters SET group_label = 'experts'"],
    "a mark of simulation": ["UPDATE raters SET simulated = (1 = 1)"],
    "the counters of a pair": [
        "UPDATE pairs SET first_wins = first_wins + 1, voted = voted + 1 WHERE id = 1"
    ],
    "the slots of a pair": ["UPDATE pairs SET taken = taken - 1 WHERE taken > 0"],
    "the slots of a prompt": ["UPDATE cells SET taken = taken + 1 WHERE id = 1"],
    "a rater's answers": ["UPDATE raters SET voted = voted + 1"],
    "an assignment's state": ["UPDATE assignments SET state = 'expired' WHERE id = 3"],
    "the end cut off": ["DELETE FROM votes WHERE seq > 9"],
    "the end cut off, the head moved back": [
        "UPDATE settings SET value = '9:' || (SELECT hash FROM votes WHERE seq = 9) WHERE key = 'chain'",
        "DELETE FROM votes WHERE seq > 9",
    ],
    "the head with the seal of another": [
        "UPDATE settings SET value = '9:' || (SELECT hash FROM votes WHERE seq = 9) || substr(value, 68) "
        "WHERE key = 'chain'",
        "DELETE FROM votes WHERE seq > 9",
    ],
}


@pytest.mark.parametrize("what", IN_THE_DATABASE)
def test_tampering_with_the_database_is_caught(desk, what):
    assert verify_database(desk.database).rows == 12
    run(desk, *IN_THE_DATABASE[what])
    with pytest.raises(InputError):
        verify_database(desk.database)


@pytest.mark.parametrize("records_too", [False, True])
def test_images_that_were_exchanged_are_caught_with_and_without_their_records(desk, records_too):
    first, second = (desk.folder.image(name, "secret0", 0) for name in NAMES[:2])
    kept = first.read_bytes()
    shutil.copy(second, first)
    second.write_bytes(kept)
    if records_too:
        lines = [json.loads(line) for line in desk.folder.generations_file.read_text().splitlines()]
        mine = [row for row in lines if row["prompt_id"] == "secret0" and row["contender"] in NAMES[:2]]
        mine[0]["sha256"], mine[1]["sha256"] = mine[1]["sha256"], mine[0]["sha256"]
        desk.folder.generations_file.write_text("".join(json.dumps(row) + "\n" for row in lines))
    touched = [r for r in log(desk) if r.prompt_id == "secret0" and {r.left, r.right} & set(NAMES[:2])]
    assert touched
    assert verify_database(desk.database, current_images(desk.folder)).images_changed == len(touched)


def write_anew(desk, rows):
    """As somebody does who has the server's key: every hash, every counter and the seal made again."""
    previous = GENESIS
    with desk.database.engine.begin() as db:
        for row in rows:
            previous = chain_hash(KEY, previous, row)
            values = {"answer": row.answer, "hash": previous, "seq": row.seq}
            db.execute(text("UPDATE votes SET answer = :answer, hash = :hash WHERE seq = :seq"), values)
        head = f"{len(rows)}:{previous}:{head_seal(KEY, len(rows), previous)}"
        db.execute(text("UPDATE settings SET value = :head WHERE key = 'chain'"), {"head": head})


def test_a_log_written_anew_with_the_servers_key_is_beyond_proof_without_an_anchor(desk):
    held = anchor(desk.database, "s")
    rows = log(desk)
    # A tie for a tie leaves the counters as they are: here only the time of an answer is changed.
    changed = [replace(row, seconds=0.5 if row.seq == 2 else row.seconds) for row in rows]
    run(desk, "UPDATE votes SET seconds = 0.5 WHERE seq = 2")
    write_anew(desk, changed)
    assert verify_database(desk.database).rows == 12
    with pytest.raises(InputError, match="written anew"):
        verify_database(desk.database, held=held)


def test_an_older_copy_of_the_database_is_beyond_proof_without_an_anchor(tmp_path):
    desk = make_desk(tmp_path / "s", Clock(), votes_per_pair=6)
    vote_all(desk, arrive(desk), limit=4)
    desk.database.close()
    shutil.copy(desk.folder.votes_file, tmp_path / "old.sqlite")
    vote_all(desk, arrive(desk), limit=3)
    held = anchor(desk.database, "s")
    desk.database.close()
    shutil.copy(tmp_path / "old.sqlite", desk.folder.votes_file)
    assert verify_database(desk.database).rows == 4
    with pytest.raises(InputError, match="cut off"):
        verify_database(desk.database, held=held)
    desk.database.close()


def test_an_anchor_holds_while_votes_are_added(desk, tmp_path):
    held = anchor(desk.database, "s")
    assert (held.votes, held.head) == (12, log(desk)[-1].hash)
    append_anchor(tmp_path / "a.jsonl", held)
    vote_all(desk, arrive(desk), limit=3)
    append_anchor(tmp_path / "a.jsonl", anchor(desk.database, "s"))
    assert read_anchor(tmp_path / "a.jsonl").votes == 15
    assert verify_database(desk.database, held=held).rows == 15
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(InputError, match="no anchor"):
        read_anchor(tmp_path / "none.jsonl")


def test_an_anchor_is_committed_and_published(tmp_path, monkeypatch):
    desk = make_desk(tmp_path / "s", Clock())
    vote_all(desk, arrive(desk), limit=2)
    held = anchor(desk.database, "s")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.test")
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    commit = commit_anchor(repository, held)
    shown = subprocess.run(
        ["git", "-C", str(repository), "show", f"{commit}:anchors/s.jsonl"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(shown.stdout)["head"] == held.head
    append_anchor(tmp_path / "a.jsonl", held)
    run_timestamp(f"cp {{file}} {tmp_path}/published.jsonl", tmp_path / "a.jsonl")
    assert read_anchor(tmp_path / "published.jsonl") == held
    for command, reason in (("false", "status 1"), ("no-such-command {file}", "No such file")):
        with pytest.raises(InputError, match=reason):
            run_timestamp(command, tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="git rev-parse"):
        commit_anchor(tmp_path / "s", held)
    with closing(desk.database):
        pass
