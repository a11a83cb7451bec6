"""Votes files as people have them: every layout, encoding and slip of the pen is read right or named by row."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from bench.errors import InputError
from bench.ratings.vote_forms import ALIASES, FORMS
from bench.ratings.votes_file import read_votes

ROOT = Path(__file__).resolve().parents[3]
LEFT, RIGHT, TIE, BAD = range(4)
TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": 'a, "b"\n'}]


def votes(table):
    names = np.array(table.contenders)
    return list(
        zip(names[table.left].tolist(), names[table.right].tolist(), table.outcome.tolist(), strict=True)
    )


def labels(table, name):
    codes = getattr(table, name)
    return None if codes is None else np.array(getattr(table, f"{name}s"))[codes].tolist()


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_csv(path, head, *rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def lines(path, *rows):
    return written(path, "\n".join(json.dumps(row) for row in rows))


def this_suite_csv(folder):
    head = (
        "left",
        "right",
        "outcome",
        "question",
        "rater",
        "prompt_id",
        "replicate",
        "category",
        "challenge",
        "probability",
        "seconds",
        "kind",
        "excluded",
        "group",
        "simulated",
    )
    one = ("A", "B", "left", "quality", "r", "p1", 0, "", "", "0.25", "1.5", "vote", "", "", "false")
    two = ("B", "A", "both_bad", "quality", "s", "p2", 0, "", "", "0.25", "2", "vote", "", "", "false")
    return rows_csv(folder / "v.csv", head, one, two)


def this_suite_jsonl(folder):
    from bench.records import Battle, to_json

    one = Battle(left="A", right="B", outcome="left", rater="r", prompt_id="p1", seconds=2.0)
    two = Battle(left="B", right="A", outcome="both_bad", rater="s", prompt_id="p2")
    return written(folder / "battles.jsonl", to_json(one) + "\n" + to_json(two) + "\n")


def chatbot_arena_json(folder):
    row = {
        "question_id": "p1",
        "model_a": "A",
        "model_b": "B",
        "winner": "model_a",
        "judge": "r",
        "turn": 1,
        "conversation_a": TALK,
        "conversation_b": TALK,
        "anony": True,
        "language": "English",
        "tstamp": 1.5,
    }
    other = row | {
        "question_id": "p2",
        "model_a": "B",
        "model_b": "A",
        "winner": "tie (bothbad)",
        "judge": "s",
    }
    return written(folder / "clean_battle.json", json.dumps([row, other]))


def chatbot_arena_parquet(folder):
    data = {
        "question_id": ["p1", "p2"],
        "model_a": ["A", "B"],
        "model_b": ["B", "A"],
        "winner": ["model_a", "tie (bothbad)"],
        "judge": ["r", "s"],
        "conversation_a": [TALK, TALK],
        "tstamp": [1.0, 2.0],
        "openai_moderation": [{"flagged": False}, {"flagged": True}],
    }
    parquet.write_table(pa.table(data), folder / "v.parquet")
    return folder / "v.parquet"


def mt_bench_humans(folder):
    row = {
        "question_id": 81,
        "model_a": "A",
        "model_b": "B",
        "winner": "model_a",
        "judge": "r",
        "conversation_a": TALK,
        "conversation_b": TALK,
        "turn": 1,
    }
    return lines(
        folder / "human.jsonl",
        row,
        row
        | {"question_id": 82, "model_a": "B", "model_b": "A", "winner": "both bad", "judge": "s", "turn": 2},
    )


def mt_bench_judge(folder):
    row = {
        "question_id": 81,
        "model_1": "A",
        "model_2": "B",
        "g1_winner": "model_1",
        "g2_winner": "model_1",
        "judge": ["gpt-4", "pair-v2"],
        "g1_judgment": "[[A]]",
        "turn": 1,
        "tstamp": 1.0,
    }
    return lines(
        folder / "gpt-4_pair.jsonl", row, row | {"g2_winner": "model_2"}, row | {"g1_winner": "error"}
    )


def genai_bench(folder):
    row = {
        "left_model": "A",
        "right_model": "B",
        "left_image": None,
        "prompt": "p1",
        "vote_type": "leftvote",
        "conv_id": "x",
        "judge": "r",
        "anony": True,
    }
    return lines(
        folder / "genai.jsonl",
        row,
        row
        | {"prompt": "p2", "left_model": "B", "right_model": "A", "vote_type": "bothbad_vote", "judge": "s"},
    )


def fastchat_log(folder):
    vote = {"tstamp": 1.0, "type": "leftvote", "models": ["A", "B"], "states": [{}, {}], "ip": "r"}
    chat = {"tstamp": 0.5, "type": "chat", "model": "A", "state": {}}
    return lines(
        folder / "log.jsonl",
        chat,
        vote,
        vote | {"models": ["B", "A"], "type": "bothbad_vote"},
    )


def pick_a_pic(folder):
    data = {
        "are_different": [True] * 4,
        "best_image_uid": ["u", "v", "", ""],
        "caption": ["p1", "p2", "p2", "p3"],
        "has_label": [True, True, True, False],
        "label_0": [1.0, 0.0, 0.5, 0.0],
        "label_1": [0.0, 1.0, 0.5, 0.0],
        "model_0": ["A", "B", "A", "A"],
        "model_1": ["B", "A", "B", "B"],
        "jpg_0": [b"\xff\xd8"] * 4,
        "ranking_id": [1, 2, 3, 4],
        "user_id": [7, 8, 8, 9],
    }
    parquet.write_table(pa.table(data), folder / "v.parquet")
    return folder / "v.parquet"


def comparia(folder):
    head = (
        "id",
        "model_a_name",
        "model_b_name",
        "model_pair_name",
        "chosen_model_name",
        "both_equal",
        "opening_msg",
        "visitor_id",
        "conv_useful_a",
    )
    return rows_csv(
        folder / "votes.csv",
        head,
        (1, "A", "B", "['A', 'B']", "A", False, "p1", "r", True),
        (2, "B", "A", "['A', 'B']", "", True, "p2", "s", ""),
        (3, "B", "A", "['A', 'B']", "A", False, "p2", "s", ""),
        (4, "B", "A", "['A', 'B']", "", False, "p2", "s", ""),
    )


def kaggle(folder):
    head = (
        "id",
        "model_a",
        "model_b",
        "prompt",
        "response_a",
        "response_b",
        "winner_model_a",
        "winner_model_b",
        "winner_tie",
    )
    talk = '["one\ntwo", "say ""x"""]'
    return rows_csv(
        folder / "train.csv",
        head,
        (1, "A", "B", "p1", talk, talk, 1, 0, 0),
        (2, "B", "A", "p2", talk, talk, 0, 0, 1),
    )


def alpaca_eval(folder):
    row = {
        "instruction": "p1",
        "output_1": "x",
        "output_2": "y",
        "generator_1": "A",
        "generator_2": "B",
        "annotator": "r",
        "preference": 1.0,
    }
    rows = [row, row | {"preference": 2}, row | {"preference": 1.5}, row | {"preference": None}]
    return written(folder / "annotations.json", json.dumps(rows))


def chosen_rejected(folder):
    return rows_csv(
        folder / "v.csv", ("prompt", "chosen_model", "rejected_model"), ("p1", "A", "B"), ("p2", "B", "A")
    )


def winner_loser(folder):
    return rows_csv(folder / "matches.csv", ("winner", "loser", "date"), ("A", "B", "1"), ("B", "A", "2"))


def hpd3(folder):
    row = {
        "prompt": "p1",
        "path1": "a.jpg",
        "path2": "b.jpg",
        "model1": "A",
        "model2": "B",
        "confidence": 0.9,
        "choice_dist": [3, 1],
    }
    return written(folder / "test.json", json.dumps([row]))


def hpd2_test(folder):
    row = {"prompt": "p1", "models": ["A", "B", "C"], "rank": [1, 3, 2], "file_path": ["a", "b", "c"]}
    return written(folder / "test.json", json.dumps([row]))


def hpd2_train(folder):
    row = {"prompt": "p1", "models": ["A", "B"], "human_preference": [1, 0], "image_path": ["a", "b"]}
    return written(folder / "train.json", json.dumps([row, row | {"human_preference": [0, 1]}]))


def image_reward(folder):
    head = ("image_path", "prompt_id", "prompt", "model", "rank", "overall_rating")
    return rows_csv(
        folder / "ranks.csv",
        head,
        ("a", "1", "p1", "A", 1, 5),
        ("b", "1", "p1", "B", 2, 4),
        ("c", "1", "p1", "C", 2, 4),
        ("d", "2", "p2", "A", 2, 1),
        ("e", "2", "p2", "B", 1, 2),
    )


def counted(folder):
    return rows_csv(
        folder / "pairs.csv", ("model_a", "model_b", "wins_a", "wins_b", "ties"), ("A", "B", 2, 1, 1)
    )


def names_as_winners(folder):
    return rows_csv(
        folder / "v.csv",
        ("model_a", "model_b", "winner"),
        ("sdxl", "flux", "flux"),
        ("flux", "sdxl", "flux"),
        ("sdxl", "flux", "Tie"),
    )


PAIR = [("A", "B", LEFT), ("B", "A", BAD)]
DUMPS = {
    "this suite, CSV": (this_suite_csv, PAIR, ["r", "s"], ["p1", "p2"]),
    "this suite, JSONL": (this_suite_jsonl, PAIR, ["r", "s"], ["p1", "p2"]),
    "Chatbot Arena, JSON": (chatbot_arena_json, PAIR, ["r", "s"], ["p1", "p2"]),
    "Chatbot Arena, Parquet": (chatbot_arena_parquet, PAIR, ["r", "s"], ["p1", "p2"]),
    "MT-Bench, people": (mt_bench_humans, PAIR, ["r", "s"], ["81", "82"]),
    "MT-Bench, a model as judge": (
        mt_bench_judge,
        [("A", "B", LEFT), ("A", "B", TIE)],
        None,
        ["81", "81"],
    ),
    "GenAI-Bench": (genai_bench, PAIR, ["r", "s"], ["p1", "p2"]),
    "FastChat server log": (fastchat_log, PAIR, None, None),
    "Pick-a-Pic": (
        pick_a_pic,
        [("A", "B", LEFT), ("B", "A", RIGHT), ("A", "B", TIE)],
        ["7", "8", "8"],
        ["p1", "p2", "p2"],
    ),
    "ComparIA": (
        comparia,
        [("A", "B", LEFT), ("B", "A", TIE), ("B", "A", RIGHT)],
        ["r", "s", "s"],
        ["p1", "p2", "p2"],
    ),
    "LMSYS on Kaggle": (kaggle, [("A", "B", LEFT), ("B", "A", TIE)], None, ["p1", "p2"]),
    "AlpacaEval": (
        alpaca_eval,
        [("A", "B", LEFT), ("A", "B", RIGHT), ("A", "B", TIE)],
        ["r"] * 3,
        ["p1"] * 3,
    ),
    "chosen and rejected": (chosen_rejected, [("A", "B", LEFT), ("B", "A", LEFT)], None, ["p1", "p2"]),
    "winner and loser": (winner_loser, [("A", "B", LEFT), ("B", "A", LEFT)], None, None),
    "HPDv3": (hpd3, [("A", "B", LEFT)] * 3 + [("A", "B", RIGHT)], None, ["p1"] * 4),
    "HPDv2, test": (
        hpd2_test,
        [("A", "B", LEFT), ("A", "C", LEFT), ("B", "C", RIGHT)],
        None,
        ["p1"] * 3,
    ),
    "HPDv2, train": (hpd2_train, [("A", "B", LEFT), ("A", "B", RIGHT)], None, ["p1", "p1"]),
    "ImageReward": (
        image_reward,
        [("A", "B", LEFT), ("A", "C", LEFT), ("B", "C", TIE), ("A", "B", RIGHT)],
        None,
        ["p1", "p1", "p1", "p2"],
    ),
    "counted pairs": (counted, [("A", "B", LEFT)] * 2 + [("A", "B", RIGHT), ("A", "B", TIE)], None, None),
    "the winner by name": (
        names_as_winners,
        [("sdxl", "flux", RIGHT), ("flux", "sdxl", LEFT), ("sdxl", "flux", TIE)],
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", DUMPS)
def test_a_public_dump_is_read_as_it_is(tmp_path, name):
    write, expected, raters, prompts = DUMPS[name]
    table = read_votes(write(tmp_path))
    assert votes(table) == expected
    if name != "MT-Bench, a model as judge":  # all votes are of one judge there
        assert labels(table, "rater") == raters
    assert labels(table, "prompt") == prompts
    assert set(table.questions) <= {"", "quality"}


def test_the_documentation_lists_the_dumps_that_are_tested():
    text = (ROOT / "docs" / "votes-files.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ([^|`]+?) \| `", text, re.MULTILINE)
    assert listed == list(DUMPS)
    assert len(listed) >= 12
    for field, others in ALIASES.items():
        assert f"| `{field}` | " + ", ".join(f"`{name}`" for name in others) in text
    assert {form.name for form in FORMS} <= set(re.findall(r"\| ([^|]+?) \|$", text, re.MULTILINE))


HEAD = "model_a,model_b,winner,rater,prompt\n"
BODY = "Ärger,B,model_a,r,p\nB,Ärger,tie,s,q\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.CSV", (HEAD + BODY).encode()),
        ("v.csv", (HEAD + BODY).encode("utf-8-sig")),
        ("v.csv", (HEAD + BODY).encode("utf-16")),
        ("v.csv", (HEAD + BODY).encode("utf-16-le")),
        ("v.csv", (HEAD + BODY).encode("utf-32")),
        ("v.csv", (HEAD + BODY).encode("latin-1")),
        ("v.csv", (HEAD + BODY).replace("\n", "\r\n").encode()),
        ("v.csv", (HEAD + BODY).replace("\n", "\r").encode()),
        ("v.csv", (HEAD + BODY).replace(",", ";").encode()),
        ("v.csv", (HEAD + BODY).replace(",", "\t").encode()),
        ("v.tsv", (HEAD + BODY).encode()),
        ("v.txt", (HEAD + BODY).replace(",", "|").encode()),
        ("v.csv", ("\n\n" + HEAD + "\n" + BODY + ",,,,\n , ,,,\n").encode()),
        ("v.csv", (HEAD + BODY).rstrip("\n").encode()),
        ("v.csv.gz", gzip.compress((HEAD + BODY).encode(), mtime=0)),
        ("v.Tsv.GZ", gzip.compress((HEAD + BODY).replace(",", "\t").encode(), mtime=0)),
        ("v.csv", HEAD.upper().encode() + " Ärger ,B,Model_A,r , p\nB,Ärger, TIE ,s,q\n".encode()),
    ],
)
def test_encodings_delimiters_and_blanks_change_nothing(tmp_path, name, content):
    table = read_votes(written(tmp_path / name, content))
    assert votes(table) == [("Ärger", "B", LEFT), ("B", "Ärger", TIE)]
    assert labels(table, "rater") == ["r", "s"]
    assert labels(table, "prompt") == ["p", "q"]


def test_an_assumed_encoding_is_said(tmp_path):
    table = read_votes(written(tmp_path / "v.csv", (HEAD + BODY).encode("latin-1")))
    assert table.notes == (
        "line 2 is not UTF-8: the file was read as cp1252; save it as UTF-8 if names look wrong",
    )


def test_quotes_in_a_tsv_are_characters_unless_they_delimit(tmp_path):
    head = "model_a\tmodel_b\twinner\tprompt\n"
    plain = written(tmp_path / "a.tsv", head + 'A\tB\ta\t"half open\nB\tA\ta\tplain\nA\tB\tb\t"again\n')
    assert labels(read_votes(plain), "prompt") == ['"half open', "plain", '"again']
    quoted = written(tmp_path / "b.tsv", head + 'A\tB\ta\t"two\nlines\tand a tab"\nB\tA\tb\t"a ""b"""\n')
    assert labels(read_votes(quoted), "prompt") == ["two\nlines\tand a tab", 'a "b"']
    assert votes(read_votes(quoted)) == [("A", "B", LEFT), ("B", "A", RIGHT)]


def test_texts_of_several_lines_may_fill_more_than_a_block(tmp_path):
    rows = [("A", "B", "a", f"one\ntwo {number} {'x' * 60}") for number in range(30_000)]
    table = read_votes(rows_csv(tmp_path / "v.csv", ("model_a", "model_b", "winner", "prompt"), *rows))
    assert len(table) == 30_000
    assert (tmp_path / "v.csv").stat().st_size > 2 << 20
    assert len(table.prompts) == 30_000


def test_the_last_line_counts_without_a_newline(tmp_path):
    path = lines(tmp_path / "v.jsonl", *[{"model_a": "A", "model_b": "B", "winner": "a"}] * 3)
    assert not path.read_bytes().endswith(b"\n")
    assert len(read_votes(path)) == 3
    with pytest.raises(InputError, match=r"v\.jsonl:3: not JSON"):
        read_votes(written(path, path.read_bytes()[:-9]))


@pytest.mark.parametrize("empty", ["", "NA", "nan", "NaN", "null", "None", "N/A", " "])
def test_a_cell_that_holds_nothing_is_nobody(tmp_path, empty):
    head = ("model_a", "model_b", "winner", "rater")
    path = rows_csv(tmp_path / "v.csv", head, ("A", "B", "a", "u"), ("A", "B", "b", empty))
    with pytest.raises(InputError, match=r"v\.csv:3: empty 'rater' \(1 such rows\).*--columns rater="):
        read_votes(path)
    assert read_votes(path, {"rater": ""}).rater is None


def test_numbers_that_are_missing_in_parquet_are_nobody(tmp_path):
    nan = float("nan")
    data = {"model_a": ["A"] * 2, "model_b": ["B"] * 2, "winner": ["a", "b"], "rater": pa.array([1.0, nan])}
    parquet.write_table(pa.table(data), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=r"v\.parquet: row 2: empty 'rater'"):
        read_votes(tmp_path / "v.parquet")


def test_nested_parquet_is_named_by_path(tmp_path):
    data = {"pair": [{"a": "A", "b": "B"}, {"a": "B", "b": "A"}], "winner": ["a", "b"], "x": [TALK, TALK]}
    parquet.write_table(pa.table(data), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=r"the columns are: pair\.a, pair\.b, winner, x"):
        read_votes(tmp_path / "v.parquet")
    table = read_votes(tmp_path / "v.parquet", {"model_a": "pair.a", "model_b": "pair.b"})
    assert votes(table) == [("A", "B", LEFT), ("B", "A", RIGHT)]
    assert "columns not used: x" in table.notes


def test_columns_are_named_by_hand_and_the_others_listed(tmp_path):
    head = ("model_a", "model_b", "winner", "who", "question_id", "turn", "promt")
    path = rows_csv(
        tmp_path / "v.csv", head, ("A", "B", "a", "u", "q1", "1", "x"), ("B", "A", "a", "v", "q2", "1", "y")
    )
    table = read_votes(path, {"rater": "WHO", "question": "turn"})
    assert labels(table, "rater") == ["u", "v"]
    assert labels(table, "prompt") == ["q1", "q2"]
    assert table.questions == ("1",)
    assert table.notes == (
        "read as pair and winner: rater = who, prompt = question_id, question = turn",
        "columns not used: promt",
    )
    assert "promt (is it prompt? --columns prompt=promt)" in read_votes(path, {"prompt": ""}).notes[-1]
    with pytest.raises(InputError, match="unknown field of --columns 'ratter': did you mean 'rater'"):
        read_votes(path, {"ratter": "who"})
    with pytest.raises(InputError, match="unknown column 'hwo': did you mean 'who'"):
        read_votes(path, {"rater": "hwo"})


def test_no_hint_divides_the_votes(tmp_path):
    """`question_id` looks like `question`, which would rate each prompt by itself."""
    path = rows_csv(
        tmp_path / "v.csv",
        ("model_a", "model_b", "winner", "questions", "group_id", "categorie"),
        ("A", "B", "a", "1", "2", "3"),
    )
    assert read_votes(path).notes == ("columns not used: questions, group_id, categorie",)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["A,B,won,r,p"], r"v\.csv:4: unknown winner 'won'"),
        (["A,B,,r,p"], r"v\.csv:4: empty 'winner'"),
        (["A,A,tie,r,p"], r"v\.csv:4: contender 'A' is put against itself"),
        (["A,,tie,r,p"], r"v\.csv:4: a contender's name is empty"),
        (["A,b,tie,r,p"], r"v\.csv:4: contender 'b' \(1 times\) differs from 'B' \(2 times\) in case"),
        (["A,B,tie,r,"], r"v\.csv:4: empty 'prompt'"),
        (["A,B,tie,r"], r"v\.csv:4: 4 fields, but the header names 5"),
        (["A,B,tie,r,p,q"], r"v\.csv:4: 6 fields"),
        (["A,B,tie,r,p", "A,B,maybe,r,p"], r"v\.csv:5: unknown winner 'maybe'"),
    ],
)
def test_a_wrong_row_is_named_by_its_line_after_blank_ones(tmp_path, rows, message):
    content = HEAD + "\n" + "A,B,a,r,p\n" + "\n".join(rows) + "\nB,A,a,r,p\n"
    with pytest.raises(InputError, match=message):
        read_votes(written(tmp_path / "v.csv", content))


def test_a_row_after_excluded_ones_and_long_texts_is_named_by_its_line(tmp_path):
    path = rows_csv(
        tmp_path / "v.csv",
        ("model_a", "model_b", "winner", "prompt", "excluded"),
        ("A", "B", "a", "one\ntwo\nthree", "bot"),
        ("C", "C", "tie", "x", "bot"),
        ("D", "D", "a", "p", ""),
        ("A", "B", "a", "p", ""),
    )
    with pytest.raises(InputError, match=r"v\.csv:6: contender 'D' is put against itself"):
        read_votes(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("probability", "0", "not above 0 and at most 1"),
        ("probability", "1.2", "not above 0 and at most 1"),
        ("probability", "nope", "not above 0 and at most 1"),
        ("probability", "inf", "not above 0 and at most 1"),
        ("weight", "-1", "not a number above 0"),
        ("replicate", "1.5", "not a whole number"),
        ("replicate", "-1", "not a whole number"),
        ("kind", "guess", "unknown kind 'guess'"),
        ("simulated", "maybe", "unknown value of simulated 'maybe'"),
    ],
)
def test_a_wrong_number_is_named_by_its_line(tmp_path, name, value, message):
    good = {"probability": "0.5", "weight": "2", "replicate": "1", "kind": "vote", "simulated": "no"}[name]
    path = rows_csv(
        tmp_path / "v.csv",
        ("model_a", "model_b", "winner", name),
        ("A", "B", "a", good),
        ("A", "B", "a", value),
    )
    with pytest.raises(InputError, match=rf"v\.csv:3: .*{message}"):
        read_votes(path)


def test_decimal_commas_are_read_where_semicolons_delimit(tmp_path):
    path = written(tmp_path / "v.csv", "model_a;model_b;winner;probability\nA;B;a;0,5\nB;A;b;0,25\n")
    assert read_votes(path).probability.tolist() == [0.5, 0.25]


def test_a_name_that_is_also_a_side_is_refused_where_they_differ(tmp_path):
    agreeing = rows_csv(
        tmp_path / "v.csv", ("model_a", "model_b", "winner"), ("a", "b", "a"), ("a", "b", "b")
    )
    assert votes(read_votes(agreeing)) == [("a", "b", LEFT), ("a", "b", RIGHT)]
    differing = rows_csv(
        tmp_path / "v.csv", ("model_a", "model_b", "winner"), ("a", "b", "a"), ("b", "a", "a")
    )
    with pytest.raises(InputError, match=r"v\.csv:3: winner 'a' is a side and a contender's name"):
        read_votes(differing)


def test_files_of_no_known_layout_say_what_they_hold(tmp_path):
    path = rows_csv(tmp_path / "v.csv", ("modela", "model_b", "winer"), ("A", "B", "a"))
    with pytest.raises(InputError, match=r"the columns are: modela.*--columns model_a=modela,winner=winer"):
        read_votes(path)
    path = written(tmp_path / "train.json", json.dumps([{"prompt": "p", "image_path": ["a"], "rank": [1]}]))
    with pytest.raises(InputError, match="name images, not contenders"):
        read_votes(path)
    path = written(tmp_path / "v.json", '{"model_a": "A", "model_b": "B", "winner": "a"}\n' * 2)
    with pytest.raises(InputError, match=r"an object a line needs the suffix \.jsonl"):
        read_votes(path)
    with pytest.raises(InputError, match=r"not a whole \.gz file"):
        read_votes(written(tmp_path / "v.csv.gz", gzip.compress(b"x" * 999)[:-5]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD, "no votes"),
        ("", "the file is empty"),
        (HEAD + "A,A,tie,r,p\n", "one contender, 'A'"),
        ("model_a,model_b\nA,B\n", "the columns are: model_a, model_b"),
        ("model_a,model_b,winner,winner\nA,B,a,b\n", "two columns are called 'winner'"),
    ],
)
def test_files_without_votes_say_so(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_votes(written(tmp_path / "v.csv", content))


def test_a_data_frame_written_by_pandas_is_read(tmp_path):
    """`DataFrame.to_json` writes an object of columns."""
    columns = {
        "model_a": {"0": "A", "1": "B"},
        "model_b": {"0": "B", "1": "A"},
        "winner": {"0": "a", "1": "tie"},
    }
    assert votes(read_votes(written(tmp_path / "v.json", json.dumps(columns)))) == [
        ("A", "B", LEFT),
        ("B", "A", TIE),
    ]


def test_texts_under_chosen_and_rejected_are_not_contenders(tmp_path):
    rows = [(f"answer {number}", f"other {number}") for number in range(400)]
    with pytest.raises(InputError, match="400 different texts, not contenders' names"):
        read_votes(rows_csv(tmp_path / "v.csv", ("chosen", "rejected"), *rows))
