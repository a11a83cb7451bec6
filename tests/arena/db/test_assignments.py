"""Votes in SQL: saved once, chained, returned to the pool; on SQLite here, on PostgreSQL end to end."""

import hashlib
import itertools
import json
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text, update

from arena import simulate
from arena.admission import Refused
from arena.db import raters as register
from arena.db import rows, schema
from arena.db.database import VoteDatabase
from arena.db.proof import verify_database
from arena.db.vote_log import standing, verify_chain
from arena.results import export
from arena.voting import Desk
from bench.errors import InputError
from tests.support.arena_desk import KEY, Clock, arrive, log, make_desk, vote_all
from tests.support.arena_study import NAMES


@pytest.fixture
def desk(tmp_path):
    made = make_desk(tmp_path / "s")
    yield made
    made.database.close()


def test_migrations_end_where_the_tables_are(tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    engine = schema.connect(schema.sqlite_url(tmp_path / "new.sqlite"))
    assert schema.migrate(engine) == schema.migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


def test_an_older_database_keeps_its_votes_when_migrated(tmp_path):
    from alembic import command
    from alembic.config import Config

    engine = schema.connect(schema.sqlite_url(tmp_path / "old.sqlite"))
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent.parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as db:
        config.attributes["connection"] = db
        command.upgrade(config, "0001")
        db.execute(text("INSERT INTO pairs VALUES (1, 'quality', 'a', 'b', 9, 3, 2, 1, 1, 0, 0);"))
    schema.migrate(engine)
    with engine.connect() as db:
        pair = db.execute(schema.pairs.select()).one()
    assert (pair.first, pair.taken, pair.voted, pair.first_wins, pair.decided) == ("a", 3, 2, 1, False)
    engine.dispose()


def test_a_database_of_another_kind_is_refused():
    with pytest.raises(InputError, match="allowed are sqlite"):
        schema.connect("mysql://host/db")


def test_a_vote_is_saved_once_however_often_it_is_sent(desk):
    rater = arrive(desk)
    token = desk.hand(rater).open[0].token
    assert desk.vote(rater, token, "left", 1.0)
    assert not desk.vote(rater, token, "left", 1.0)
    with pytest.raises(Refused, match="answered"):
        desk.vote(rater, token, "right", 1.0)
    assert [row.answer for row in log(desk)] == ["left"]


def test_concurrent_double_clicks_save_one_vote(desk):
    rater = arrive(desk)
    token = desk.hand(rater).open[0].token
    new = []
    threads = [
        threading.Thread(target=lambda: new.append(desk.vote(rater, token, "tie", None))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [False] * 7 + [True]
    assert len(log(desk)) == 1


def test_tokens_that_are_not_ones_own_are_refused(desk):
    mine, other = arrive(desk), arrive(desk)
    token = desk.hand(mine).open[0].token
    for rater, wrong, code in (
        (other, token, "unknown_token"),
        (mine, "forged", "unknown_token"),
        (mine, "' OR 1=1 --", "unknown_token"),
        ("nobody", token, "unknown_rater"),
    ):
        with pytest.raises(Refused, match=code):
            desk.vote(rater, wrong, "left", None)
    with pytest.raises(Refused, match="bad_answer"):
        desk.vote(mine, token, "both_bad", None)  # not allowed by this study
    assert log(desk) == []


def test_the_study_ends_with_exactly_the_votes_it_wants(desk):
    while vote_all(desk, arrive(desk)):
        pass
    with desk.database.reading() as tx:
        assert {(p.taken, p.voted) for p in tx.pairs()} == {(6, 6)}
        assert len(tx.pairs()) == 3 * 2
        # six votes over six prompts: balanced within the pair, one each
        assert {c.taken for p in tx.pairs() for c in tx.cells(p.id)} == {1}


def test_a_rater_never_sees_a_pair_twice_and_holds_two_at_most(tmp_path):
    desk = make_desk(tmp_path / "s", votes_per_pair=1000)
    rater = arrive(desk)
    seen = Counter()
    while held := desk.hand(rater).open:
        assert len(held) <= 2
        one = held[0]
        seen[frozenset((one.left, one.right)), one.prompt_id] += 1
        desk.vote(rater, one.token, "left", None)
    assert set(seen.values()) == {1}
    assert len(seen) == 3 * 6
    desk.database.close()


def test_sides_are_even_and_recorded(tmp_path):
    desk = make_desk(tmp_path / "s", votes_per_pair=30)
    while vote_all(desk, arrive(desk)):
        pass
    left = Counter(row.left for row in log(desk))
    shown = Counter(name for row in log(desk) for name in (row.left, row.right))
    for name in NAMES:
        assert abs(left[name] - shown[name] / 2) < 4 * (shown[name] / 4) ** 0.5
    desk.database.close()


def test_counters_resolve_the_sides(desk):
    rater = arrive(desk)
    vote_all(desk, rater, "left", 9)
    with desk.database.reading() as tx:
        for pair in tx.pairs():
            mine = [
                r
                for r in log(desk)
                if {r.left, r.right} == {pair.first, pair.second} and r.question == pair.question
            ]
            assert pair.first_wins == sum(r.left == pair.first for r in mine)
            assert pair.second_wins == sum(r.left == pair.second for r in mine)


def test_what_is_not_answered_returns_to_the_pool(tmp_path):
    clock = Clock()
    desk = make_desk(tmp_path / "s", clock, expire_minutes=10, votes_per_pair=1)
    rater = arrive(desk)
    held = desk.hand(rater).open
    clock.now += 601
    with pytest.raises(Refused, match="expired"):
        desk.vote(rater, held[0].token, "left", None)
    desk.sweep(clock.now)
    with desk.database.reading() as tx:
        assert sum(p.taken for p in tx.pairs()) == 0
        assert tx.state_counts() == {"expired": 2}
    assert vote_all(desk, arrive(desk)) == 6  # somebody else gets all of them
    desk.database.close()


def test_undo_opens_the_vote_again_and_keeps_both_in_the_log(desk):
    rater = arrive(desk)
    vote_all(desk, rater, "left", 2)
    old = desk.hand(rater).open[0].token
    assert desk.hand(rater).can_undo
    desk.undo(rater)
    again = desk.hand(rater).open[0]
    assert again.token != old
    assert not desk.hand(rater).can_undo
    desk.vote(rater, again.token, "right", 1.0)
    assert [row.answer for row in log(desk)] == ["left", "left", "undo", "right"]
    assert [row.answer for row in standing(log(desk))] == ["left", "right"]
    with desk.database.reading() as tx:
        assert register.rater(tx.db, rater).voted == sum(p.voted for p in tx.pairs()) == 2
    with pytest.raises(Refused, match="nothing_to_undo"):
        desk.undo(rater)


def test_two_servers_never_hand_out_one_slot_twice(tmp_path):
    # one question: then nobody can have seen a prompt whose slot is still free, and no slot need be doubled
    first = make_desk(tmp_path / "s", votes_per_pair=4, questions=("alignment",))
    second = Desk(
        first.study, first.folder, VoteDatabase(schema.sqlite_url(first.folder.votes_file), KEY), first.clock
    )
    second.prepare()
    people = [arrive(first) for _ in range(8)]
    threads = [
        threading.Thread(target=vote_all, args=(server, rater))
        for server, rater in zip(itertools.cycle((first, second)), people, strict=False)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(3):
        vote_all(first, arrive(first))
    with first.database.reading() as tx:
        assert {(p.taken, p.voted) for p in tx.pairs()} == {(4, 4)}
        assert max(c.taken for p in tx.pairs() for c in tx.cells(p.id)) == 1
        assert verify_chain(KEY, tx.log(), tx.head) == 4 * 3
    first.database.close()
    second.database.close()


def test_every_link_of_the_chain_is_checked(desk):
    vote_all(desk, arrive(desk), limit=6)
    rows = log(desk)
    with desk.database.reading() as tx:
        head = tx.head
    assert verify_chain(KEY, rows, head) == 6
    broken = {
        "changed": [*rows[:2], replace(rows[2], answer="right"), *rows[3:]],
        "sides swapped": [*rows[:2], replace(rows[2], left=rows[2].right, right=rows[2].left), *rows[3:]],
        "removed": rows[:2] + rows[3:],
        "moved": [rows[1], rows[0], *rows[2:]],
        "cut off": rows[:-1],
    }
    for what, tampered in broken.items():
        with pytest.raises(InputError, match="the log"):
            assert verify_chain(KEY, tampered, head) < 0, what
    with pytest.raises(InputError, match="key"):
        verify_chain(bytes(32), rows, head)


def test_a_vote_changed_in_the_database_is_found(desk):
    vote_all(desk, arrive(desk), limit=3)
    assert verify_database(desk.database).rows == 3
    with desk.database.engine.begin() as db:
        db.execute(update(schema.votes).where(schema.votes.c.seq == 2).values(answer="right"))
    with pytest.raises(InputError, match="vote 2"):
        verify_database(desk.database)


def test_an_exported_log_replays_into_the_same_counters(tmp_path, desk):
    rater = arrive(desk)
    vote_all(desk, rater, "left", 5)
    desk.undo(rater)
    vote_all(desk, rater, "tie", 3)
    path = tmp_path / "log.jsonl"
    path.write_bytes(export.export_log(desk.database))
    rows = export.read_log(path, KEY)
    other = make_desk(tmp_path / "other")
    export.import_log(other.database, rows)
    with desk.database.reading() as a, other.database.reading() as b:
        strip = [
            (p.question, p.first, p.second, p.voted, p.first_wins, p.second_wins, p.ties) for p in a.pairs()
        ]
        assert strip == [
            (p.question, p.first, p.second, p.voted, p.first_wins, p.second_wins, p.ties) for p in b.pairs()
        ]
        assert list(a.log()) == list(b.log())
        assert a.head == b.head
    assert verify_database(other.database).rows == len(rows)
    assert vote_all(other, arrive(other), limit=2) == 2
    with pytest.raises(InputError, match="has votes already"):
        export.import_log(other.database, rows)
    lines = path.read_text().splitlines(keepends=True)
    for damaged in (
        lines[:-2] + lines[-1:],
        lines[:-1],
        [lines[0].replace('"left"', '"right"', 1), *lines[1:]],
    ):
        path.write_text("".join(damaged))
        with pytest.raises(InputError):
            export.read_log(path, KEY)
    other.database.close()


def test_exports_of_all_kinds_hold_the_same_votes(tmp_path, desk):
    import csv
    import io

    import pyarrow.parquet as pq

    from bench.ratings.votes_file import read_votes

    vote_all(desk, arrive(desk), "tie", 4)
    out = {
        kind: export.exported(desk.database, desk.prompts, kind, desk.exclusion) for kind in export.FORMATS
    }
    battles = [json.loads(line) for line in out["jsonl"].splitlines()]
    assert [b["outcome"] for b in battles] == ["tie"] * 4
    assert pq.read_table(io.BytesIO(out["parquet"])).to_pylist() == battles
    assert len(list(csv.DictReader(io.StringIO(out["csv"].decode())))) == 4
    (tmp_path / "pairs.csv").write_bytes(out["pairs"])
    table = read_votes(tmp_path / "pairs.csv")
    assert len(table) == 4
    assert set(table.contenders) <= set(NAMES)
    with pytest.raises(InputError, match="unknown format"):
        export.exported(desk.database, desk.prompts, "xlsx", desk.exclusion)


def test_a_formula_in_a_cell_is_text():
    for formula in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1"):
        assert export.safe_cell(formula) == "'" + formula
    assert export.safe_cell("a fox") == "a fox"
    assert export.safe_cell(-1.5) == -1.5


def test_a_full_disk_or_dead_database_saves_nothing_and_says_so(desk):
    from sqlalchemy.exc import OperationalError

    rater = arrive(desk)
    token = desk.hand(rater).open[0].token
    with desk.database.engine.begin() as db:
        db.execute(text("ALTER TABLE votes RENAME TO away"))
    with pytest.raises(OperationalError):
        desk.vote(rater, token, "left", None)
    with desk.database.engine.begin() as db:
        db.execute(text("ALTER TABLE away RENAME TO votes"))
    assert desk.vote(rater, token, "left", None)
    with desk.database.reading() as tx:
        assert sum(p.voted for p in tx.pairs()) == 1


def test_simulated_votes_say_so_and_find_the_strongest(tmp_path):
    desk = make_desk(tmp_path / "s", votes_per_pair=40, attention_rate=0.1, repeat_rate=0.1, pairing="active")
    world = simulate.World(
        strengths={NAMES[0]: 2.0, NAMES[1]: 0.0, NAMES[2]: -2.0}, prompt_sd=0.2, rater_sd=0.2
    )
    simulate.simulate(desk, world, count=30, votes_each=15)
    rows, about = export.collect(desk.database, desk.prompts, desk.exclusion)
    assert all(row.simulated for row in rows)
    wins = Counter(
        r.left if r.outcome == "left" else r.right
        for r in rows
        if r.outcome in ("left", "right") and r.kind == "vote"
    )
    assert [name for name, _ in wins.most_common()] == list(NAMES)
    assert {row.kind for row in rows} == {"vote", "check", "repeat"}
    assert sum(t.checks_passed for t in about) > 5 * sum(t.checks_failed for t in about)
    desk.database.close()


def test_the_same_seed_simulates_the_same_votes(tmp_path):
    logs = []
    for name in ("one", "other"):
        desk = make_desk(tmp_path / name, votes_per_pair=10, attention_rate=0.2, repeat_rate=0.2)
        simulate.simulate(desk, simulate.World(seed=3), count=4, votes_each=9)
        logs.append([replace(row, hash="") for row in log(desk)])
        desk.database.close()
    assert logs[0] == logs[1]
    assert len(logs[0]) == 36


def test_a_decided_pair_is_asked_about_no_more_and_the_others_are(tmp_path):
    """One contender always wins; between the other two every vote is a coin's."""
    desk = make_desk(
        tmp_path / "s", votes_per_pair=150, prompts=60, questions=("quality",), stopping="decided"
    )
    rng = np.random.default_rng(4)
    while held := desk.hand(rater := arrive(desk)).open:
        for _ in range(12):
            if not held:
                break
            one = held[0]
            desk.clock.now += 2
            best = next((side for side in ("left", "right") if getattr(one, side) == NAMES[0]), None)
            desk.vote(rater, one.token, best or ("left", "right")[rng.integers(2)], 1.0)
            held = desk.hand(rater).open
        with desk.database.writing() as tx:
            tx.give_back(tx.open_assignments(rater), "expired")
        desk.tidy()
    with desk.database.reading() as tx:
        found = {(p.first, p.second): p for p in tx.pairs()}
    assert [p.decided for p in found.values()] == [NAMES[0] in pair for pair in found]
    for pair, row in found.items():
        assert row.voted < 60 if NAMES[0] in pair else row.voted == 150
    desk.prepare()  # a second start asks about it no more, either
    with desk.database.reading() as tx:
        assert sum(p.decided for p in tx.pairs()) == 2
    assert desk.progress() == 1
    desk.database.close()


def test_simulated_and_real_votes_do_not_mix(desk):
    vote_all(desk, arrive(desk), limit=1)
    with pytest.raises(InputError, match="real raters"):
        simulate.simulate(desk, simulate.World(), count=1, votes_each=1)


def test_a_vote_is_bound_to_the_files_and_to_the_bytes_that_were_sent(tmp_path):
    desk = make_desk(tmp_path / "s")
    desk.images.are_sent = True
    rater = arrive(desk)
    one = desk.hand(rater).open[0]
    shown_as = {"viewport": [390, 844], "pixel_ratio": 3, "arrangement": "stacked", "picture_px": 358.5}
    desk.vote(rater, one.token, "left", 1.0, shown_as)
    (row,) = log(desk)
    for side in ("left", "right"):
        file = desk.folder.image(getattr(row, side), row.prompt_id, row.replicate)
        assert getattr(row, f"{side}_sha256") == hashlib.sha256(file.read_bytes()).hexdigest()
        sent = desk.images.sent(one, getattr(one, f"{side}_token"))
        assert getattr(row, f"{side}_sent_sha256") == hashlib.sha256(sent).hexdigest()
    assert row.display == shown_as
    assert verify_database(desk.database).rows == 1
    for column, value in {"left_sha256": "0" * 64, "left_sent_sha256": None}.items():
        with desk.database.engine.begin() as db:
            db.execute(update(schema.assignments).values({column: value}))
        with pytest.raises(InputError, match="vote 1"):
            verify_database(desk.database)
        with desk.database.engine.begin() as db:
            db.execute(update(schema.assignments).values({column: getattr(row, column)}))
    desk.database.close()


def test_one_definition_gives_the_tables_the_log_and_what_a_hash_covers(desk):
    vote_all(desk, arrive(desk), limit=1)
    (row,) = log(desk)
    assert set(schema.assignments.c.keys()) == set(rows.field_names(rows.Assignment))
    assert set(schema.votes.c.keys()) == set(rows.field_names(rows.Vote))
    exported = json.loads(export.export_log(desk.database).splitlines()[0])
    assert set(exported) == set(rows.field_names(rows.Logged))
    empty = {name for name in rows.field_names(rows.Logged) if getattr(row, name) is None}
    covered = set(rows.hashed_content(row))
    # What released versions had is covered even where it is empty; what came later only where it is filled.
    assert covered == set(exported) - {"hash"} - (empty & rows.later(rows.Logged))
    assert {"display", "left_sent_sha256"} <= set(exported) - covered
