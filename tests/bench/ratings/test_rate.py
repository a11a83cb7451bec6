"""The ratings document: whole, JSON, and honest about what it cannot say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import InputError
from bench.ratings.bootstrap import cluster_bootstrap
from bench.ratings.document import read_questions, to_dict
from bench.ratings.fits import SCALE, count_votes, davidson
from bench.ratings.rate import Options, rate
from bench.ratings.simulation import Design, simulate_votes
from bench.ratings.vote_table import code_battles, ratable, select
from bench.records import Battle

QUICK = Options(bootstrap=50, shuffles=20)


@pytest.fixture(scope="module")
def table():
    votes = simulate_votes(
        Design(strengths=(0.6, 0.0, -0.6), raters=24, votes_per_rater=60, prompts=40, both_bad=0.05), 3
    )
    rng = np.random.default_rng(0)
    n = len(votes)
    return replace(
        votes,
        questions=("alignment", "quality"),
        question=rng.integers(0, 2, n).astype(np.int32),
        categories=("animals", "people"),
        category=(votes.prompt % 2).astype(np.int32),
        excluded={"too fast": 3},
        repeat=rng.random(n) < 0.02,
    )


@pytest.fixture(scope="module")
def document(table):
    return rate(table, study="a-study", options=QUICK)


def test_document_is_plain_json_and_counts_every_vote(document, table):
    text = json.dumps(to_dict(document), allow_nan=False)
    data = json.loads(text)
    repeats = int(table.repeat.sum())
    assert data["n_votes"] + repeats == len(table)
    assert data["excluded"] == {"too fast": 3, "repeat": repeats}
    assert data["simulated"] is True
    assert set(data["questions"]) == {"alignment", "quality", "overall"}
    assert sum(data["questions"][q]["n"] for q in ("alignment", "quality")) == data["n_votes"]


def test_rows_of_a_question_agree_with_each_other(document):
    block = document.questions["overall"]
    rating = {row.contender: row.rating for row in block.ratings}
    assert np.mean(list(rating.values())) == pytest.approx(1000)
    assert [row.rating for row in block.ratings] == sorted(rating.values(), reverse=True)
    for row in block.differences:
        assert row.difference == pytest.approx(rating[row.a] - rating[row.b])
        assert row.low < row.difference < row.high
    significant = [row for row in block.differences if row.low > 0 or row.high < 0]
    first = block.ratings[0]
    beaten = sum(first.contender in (row.a, row.b) for row in significant)
    assert first.rank_high == 3 - beaten
    shown = sum(row.n for row in block.ratings)
    assert shown == 2 * block.n
    assert sum(row.n + row.both_bad for row in block.win_rates) == block.n


def test_overall_elo_is_the_mean_of_the_questions(document):
    questions = document.questions
    parts = [{row.contender: row for row in questions[name].elo_add} for name in ("alignment", "quality")]
    for row in questions["overall"].elo_add:
        mine = [part[row.contender] for part in parts]
        assert row.rating == pytest.approx(np.mean([part.rating for part in mine]))
        # Independent orders: the standard deviation of a mean of two.
        assert row.order_spread == pytest.approx(np.hypot(*(part.order_spread for part in mine)) / 2)
        assert row.order_spread > 0


def test_categories_are_fitted_apart(document):
    slices = document.questions["overall"].by_category
    assert set(slices) == {"animals", "people"}
    assert sum(part.n for part in slices.values()) == document.n_votes
    assert document.questions["overall"].by_challenge == {}


def test_the_anchor_stands_at_1000_without_an_interval(table, document):
    anchored = rate(table, options=replace(QUICK, anchor="contender-02"))
    rows = {row.contender: row for row in anchored.questions["overall"].ratings}
    assert (rows["contender-02"].low, rows["contender-02"].rating, rows["contender-02"].high) == (1000,) * 3
    free = {row.contender: row.rating for row in document.questions["overall"].ratings}
    moved = rows["contender-01"].rating - 1000
    assert moved == pytest.approx(free["contender-01"] - free["contender-02"])
    with pytest.raises(InputError, match="did you mean 'contender-02'"):
        rate(table, options=replace(QUICK, anchor="contender-2"))


def test_same_seed_same_document(table, document):
    assert to_dict(rate(table, study="a-study", options=QUICK)) == to_dict(document)


def test_a_winner_of_everything_keeps_win_rates_and_says_so():
    battles = [
        Battle(left="best", right="rest", outcome="left", rater=str(r), prompt_id="p") for r in range(9)
    ]
    block = rate(code_battles(battles), options=QUICK).questions["overall"]
    assert block.ratings[0].rating is None
    assert "best never lost" in block.notes[0]
    assert block.win_rates[0].rate == 1
    assert block.differences == ()
    finite = rate(code_battles(battles), options=replace(QUICK, penalty=0.5)).questions["overall"]
    assert 0 < finite.ratings[0].rating - finite.ratings[1].rating < 10 * SCALE


def test_unknown_raters_make_vote_level_intervals_that_are_called_so(table):
    block = rate(replace(table, rater=None, prompt=None), options=QUICK).questions["overall"]
    assert "vote-level" in block.notes[0]
    assert block.agreement.alpha is None
    assert block.robustness.flipping_raters == ()


def test_a_table_of_repeats_only_is_refused(table):
    with pytest.raises(InputError, match="planted repeats"):
        rate(replace(select(table, table.repeat), excluded={}), options=QUICK)


def test_one_rater_is_refused_and_on_request_labelled(table):
    alone = select(table, table.rater == 5)
    with pytest.raises(InputError, match=r"by one rater.*--this-rater-only"):
        rate(alone, options=QUICK)
    block = rate(alone, options=replace(QUICK, this_rater_only=True)).questions["overall"]
    assert any(note.startswith("one rater only: every number holds for this rater") for note in block.notes)
    both = rate(
        replace(alone, prompt=np.zeros(len(alone), np.int32)), options=replace(QUICK, this_rater_only=True)
    ).questions["overall"]
    assert [note[:11] for note in both.notes if "only: every" in note] == ["one rater o", "one prompt "]


def test_effective_numbers_stand_beside_the_counts(table):
    """One of 24 raters gives half of the votes: 1 / (0.25 + 0.25 / 23) effective ones."""
    heavy = np.where(np.arange(len(table)) % 2 == 0, 0, 1 + np.arange(len(table)) // 2 % 23)
    document = rate(
        replace(table, rater=heavy.astype(np.int32), repeat=np.zeros(len(table), bool)), options=QUICK
    )
    assert document.n_raters == 24
    assert document.n_raters_effective == pytest.approx(1 / (0.25 + 0.25 / 23), rel=0.01)
    assert document.questions["quality"].n_raters_effective == pytest.approx(3.8, abs=0.4)
    assert 30 < document.n_prompts_effective < 40
    assert any("24 raters count as 3." in note for note in document.questions["overall"].notes)


def test_bootstrap_intervals_are_the_middle_95_percent_of_the_replicates(table):
    """The replicates are drawn again here and sorted; not quantiles, order statistics."""
    plain = ratable(table)
    fit = davidson(plain.contenders, count_votes(plain))
    drawn = cluster_bootstrap(fit, plain, replicates=400, seed=0).strength
    block = rate(table, options=replace(QUICK, bootstrap=400)).questions["overall"].bootstrap
    for place, row in enumerate(block.intervals):
        ordered = np.sort(1000 + SCALE * drawn[:, place])
        assert ordered[8] <= row.low <= ordered[11]
        assert ordered[-12] <= row.high <= ordered[-9]


def test_no_position_effect_is_claimed_where_no_pair_was_shown_both_ways(table):
    kept = select(table, table.left < table.right)
    effect = rate(kept, options=QUICK).questions["overall"].position_effect
    assert effect.logits is None
    assert rate(table, options=QUICK).questions["overall"].position_effect.logits is not None
    assert (
        rate(table, options=replace(QUICK, position=False)).questions["overall"].position_effect.logits
        is None
    )


def test_penalised_ratings_have_no_intervals(table):
    block = rate(table, options=replace(QUICK, penalty=0.1)).questions["quality"]
    assert all(row.rating is not None and row.low is None and row.rank_low is None for row in block.ratings)
    assert (block.differences, block.bradley_terry, block.bootstrap) == ((), (), None)
    assert all(row.low is not None for row in block.average_win_rates)
    assert any("have no intervals" in note for note in block.notes)


def coded(*rows):
    """Battles of (left, right, outcome, votes), each vote by a rater and on a prompt of six."""
    votes = [
        Battle(left=a, right=b, outcome=o, rater=f"r{i % 6}", prompt_id=f"p{i % 5}")
        for a, b, o, count in rows
        for i in range(count)
    ]
    return rate(code_battles(votes), options=QUICK).questions["overall"]


def test_both_bad_is_coded_three_ways_side_by_side():
    """By hand: a beat b 9 times and lost 3, 6 votes called both bad."""
    block = coded(("a", "b", "left", 9), ("a", "b", "right", 3), ("b", "a", "both_bad", 6))
    shares = {part.coding: [row.rate for row in part.rows] for part in block.both_bad_codings}
    assert shares == {
        "dropped": pytest.approx([9 / 12, 3 / 12]),
        "tie": pytest.approx([12 / 18, 6 / 18]),
        "loss": pytest.approx([9 / 18, 3 / 18]),
    }
    assert not any("depends on both_bad" in note for note in block.notes)


def test_a_first_place_that_depends_on_both_bad_is_a_headline():
    """a wins 7 of 10 decided votes against c, b 13 of 20; of a's votes half called both bad."""
    block = coded(
        ("a", "c", "left", 7),
        ("a", "c", "right", 3),
        ("a", "c", "both_bad", 10),
        ("b", "c", "left", 13),
        ("b", "c", "right", 7),
    )
    assert [part.first for part in block.both_bad_codings] == ["a", "b", "b"]
    assert any(
        note.startswith("the first place depends on both_bad: b has the highest") for note in block.notes
    )
    assert coded(("a", "b", "left", 9), ("a", "b", "right", 3)).both_bad_codings == ()


def test_the_document_is_read_back_as_it_was_written(document):
    text = json.dumps(to_dict(document))
    back = read_questions(json.loads(text), "ratings.json")
    assert list(back) == ["overall", "alignment", "quality"]
    for name, block in document.questions.items():
        assert to_dict(replace(document, questions={name: back[name]})) == to_dict(
            replace(document, questions={name: block})
        )


def test_files_of_earlier_versions_open_and_broken_rows_are_named():
    old = {"ratings": [{"contender": "a", "rating": 1000.0, "low": None}], "robustness": {"few_votes": None}}
    back = read_questions({"questions": {"quality": old}}, "ratings.json")["quality"]
    assert (back.question, back.ratings[0].rating, back.n_raters_effective) == ("quality", 1000.0, None)
    with pytest.raises(InputError, match=r"ratings.json: questions.quality.ratings.0.contender.*arena rate"):
        read_questions({"questions": {"quality": {"ratings": [{"rating": 1.0}]}}}, "ratings.json")


def test_few_prompts_are_said_to_limit_what_is_shown():
    few = Design(strengths=(0.2, 0.1, 0.0, -0.1), raters=30, votes_per_rater=40, prompts=12, prompt_sd=1.0)
    quick = Options(bootstrap=0, shuffles=0)
    notes = rate(simulate_votes(few, 1), options=quick).questions["overall"].notes
    assert any("12 prompts limit what can be shown: 0 of 6 pairs differ jointly" in note for note in notes)
    many = rate(simulate_votes(replace(few, prompts=200), 1), options=quick).questions["overall"].notes
    assert not any("limit what can be shown" in note for note in many)
