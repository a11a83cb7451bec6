"""Reading and coding votes: every table comes out alike, every mistake is named."""

from __future__ import annotations

import csv
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena.results.export import _csv, _parquet
from bench.errors import InputError
from bench.ratings.vote_table import code_battles, ratable, reweighted, select
from bench.ratings.votes_file import read_votes
from bench.records import Battle, to_json

ROWS = (
    ("b", "a", "model_a", "r1", "p1"),
    ("a", "c", "tie", "r2", "p1"),
    ("c", "b", "right", "r1", "p2"),
    ("a", "b", "tie (bothbad)", "r2", "p2"),
)
HEAD = ("model_a", "model_b", "winner", "rater", "prompt")


def write(path, rows, head=HEAD, delimiter=","):
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([head, *rows])
    return path


def columns(table):
    names, raters, prompts = (np.array(labels) for labels in (table.contenders, table.raters, table.prompts))
    return [
        names[table.left].tolist(),
        names[table.right].tolist(),
        table.outcome.tolist(),
        raters[table.rater].tolist(),
        prompts[table.prompt].tolist(),
    ]


def test_csv_tsv_parquet_and_jsonl_hold_the_same_votes(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    write(tmp_path / "v.csv", ROWS)
    write(tmp_path / "v.tsv", ROWS, delimiter="\t")
    parquet.write_table(
        pa.table({name: list(column) for name, column in zip(HEAD, zip(*ROWS, strict=True), strict=True)}),
        tmp_path / "v.parquet",
    )
    outcomes = ("left", "tie", "right", "both_bad")
    battles = [
        Battle(left=row[0], right=row[1], outcome=outcome, rater=row[3], prompt_id=row[4])
        for row, outcome in zip(ROWS, outcomes, strict=True)
    ]
    (tmp_path / "v.jsonl").write_text("".join(to_json(battle) + "\n" for battle in battles))
    expected = [
        [row[0] for row in ROWS],
        [row[1] for row in ROWS],
        [0, 2, 1, 3],
        [row[3] for row in ROWS],
        [row[4] for row in ROWS],
    ]
    for suffix in ("csv", "tsv", "parquet", "jsonl"):
        table = read_votes(tmp_path / f"v.{suffix}")
        assert columns(table) == expected, suffix
        assert table.contenders == ("a", "b", "c")


def test_every_word_for_a_winner_means_its_side(tmp_path):
    words = {"left": 0, "model_a": 0, "a": 0, "right": 1, "model_b": 1, "b": 1}
    words |= {"tie": 2, "both_bad": 3, "tie (bothbad)": 3}
    table = read_votes(write(tmp_path / "v.csv", [("x", "y", word) for word in words], HEAD[:3]))
    assert table.outcome.tolist() == list(words.values())


def test_numbers_as_ids_are_read_as_text(tmp_path):
    table = read_votes(write(tmp_path / "v.csv", [("1", "2", "tie", "7", "8"), ("2", "1", "left", "7", "9")]))
    assert table.contenders == ("1", "2")
    assert table.raters == ("7",)


@pytest.mark.parametrize("head", [HEAD[:3], HEAD])
def test_a_table_without_raters_or_with_that_column_empty_has_none(tmp_path, head):
    rows = [(*row[:3], "", "")[: len(head)] for row in ROWS]
    table = read_votes(write(tmp_path / "v.csv", rows, head))
    assert table.rater is None
    assert table.prompt is None


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_the_arena_exports_is_read_back_whole(tmp_path, suffix):
    rows = [
        battle(simulated=True),
        battle(outcome="both_bad", excluded="too fast", rater="s", left="z"),
        battle(outcome="tie", prompt_id="q", replicate=1, category="animals"),
        battle(outcome="right", kind="repeat", seconds=2.5),
        battle(outcome="right", kind="check", left="c"),
    ]
    rows = [replace(row, probability=0.25) for row in rows]
    names = [entry.name for entry in fields(Battle)]
    path = tmp_path / f"votes.{suffix}"
    path.write_bytes(_parquet(rows) if suffix == "parquet" else _csv([asdict(row) for row in rows], names))
    found, expected = read_votes(path), code_battles(rows)
    assert columns(found) == columns(expected)
    for name in ("contenders", "excluded", "simulated", "categories", "questions"):
        assert getattr(found, name) == getattr(expected, name), name
    for name in ("repeat", "replicate", "category", "probability"):
        assert (getattr(found, name) == getattr(expected, name)).all(), name


def test_files_that_are_not_votes_are_named(tmp_path):
    with pytest.raises(InputError, match="no such votes file"):
        read_votes(tmp_path / "none.csv")
    (tmp_path / "v.xlsx").write_text("x")
    with pytest.raises(InputError, match="unknown suffix"):
        read_votes(tmp_path / "v.xlsx")
    (tmp_path / "v.parquet").write_text("x")
    with pytest.raises(InputError, match="not a Parquet file"):
        read_votes(tmp_path / "v.parquet")


def battle(**changes):
    return replace(Battle(left="a", right="b", outcome="left", rater="r", prompt_id="p"), **changes)


def test_excluded_votes_are_counted_by_reason():
    table = code_battles(
        [
            battle(),
            battle(excluded="too fast"),
            battle(excluded="too fast"),
            battle(kind="check"),
            battle(kind="repeat"),
        ]
    )
    assert table.excluded == {"too fast": 2, "attention check": 1}
    assert len(table) == 2
    votes = ratable(table)
    assert votes.excluded == {"too fast": 2, "attention check": 1, "repeat": 1}
    assert len(votes) == 1


def test_mistakes_in_battles_are_named():
    with pytest.raises(InputError, match="unknown outcome 'draw'"):
        code_battles([battle(outcome="draw")])
    with pytest.raises(InputError, match="unknown kind"):
        code_battles([battle(kind="test")])
    with pytest.raises(InputError, match=r"no votes to rate \(1 excluded\)"):
        code_battles([battle(excluded="bot")])
    with pytest.raises(InputError, match="vote 2 of 2 has no rater"):
        code_battles([battle(), battle(rater="")])


def test_weights_by_rater_give_every_rater_the_same_say():
    table = code_battles([battle(rater="many")] * 9 + [battle(rater="one", outcome="right")])
    weighted = reweighted(table, "raters")
    assert weighted.weight.mean() == pytest.approx(1)
    assert weighted.weight[:9].sum() == pytest.approx(weighted.weight[9])
    with pytest.raises(InputError, match="need a rater"):
        reweighted(replace(table, rater=None), "raters")


def test_propensity_weights_undo_the_choice_of_pairs():
    table = code_battles([battle(probability=0.9)] * 9 + [battle(probability=0.1, right="c")])
    weighted = reweighted(table, "propensity")
    assert weighted.weight[:9].sum() == pytest.approx(weighted.weight[9])
    with pytest.raises(InputError, match="logged probability"):
        reweighted(replace(table, probability=None), "propensity")
    with pytest.raises(InputError, match="unknown weights"):
        reweighted(table, "stars")


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from("rst")), min_size=1)
)
def test_coding_loses_nothing(rows):
    table = code_battles(battle(left=a, right=b, rater=r) for a, b, r in rows)
    names, raters = table.contenders, table.raters
    assert [(names[a], names[b]) for a, b in zip(table.left, table.right, strict=True)] == [
        r[:2] for r in rows
    ]
    assert [raters[r] for r in table.rater] == [row[2] for row in rows]
    assert list(names) == sorted(names)
    assert len(select(table, table.left == 0)) == sum(row[0] == names[0] for row in rows)
