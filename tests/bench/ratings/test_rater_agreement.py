"""Krippendorff's α against a published example and evalica, on real raters too."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from bench.ratings.covariance import covariance
from bench.ratings.fits import bradley_terry, count_votes, davidson
from bench.ratings.rate import Options, rate
from bench.ratings.rater_agreement import (
    _alpha,
    _alpha_terms,
    agreement,
    krippendorff_alpha,
    rater_consistency,
    shared_votes,
)
from bench.ratings.simulation import Design, simulate_votes
from bench.ratings.uncertainty import marginal_errors
from bench.ratings.vote_table import code_battles
from bench.records import Battle

# Krippendorff 2011, section C: four observers, twelve units, nominal; None: not judged. α = 0.743.
PUBLISHED = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)


def counts_of_codes(rows, values):
    return np.array([[[row[u] for row in rows].count(v) for v in values] for u in range(len(rows[0]))])


@pytest.fixture(scope="module")
def imagenhub(shared):
    """ImagenHub's seven models, three raters, 197 prompts: every pair of a prompt is a battle by the product
    of the two scores; the side is drawn."""
    rng = np.random.default_rng(0)
    battles = []
    for rater in (1, 2, 3):
        with (shared / "votes" / f"imagenhub-t2i-rater{rater}.tsv").open() as file:
            for row in csv.DictReader(file, delimiter="\t"):
                prompt = row.pop("uid")
                score = {name: np.prod(json.loads(cell)) for name, cell in row.items()}
                names = sorted(score)
                for i, a in enumerate(names):
                    for b in names[i + 1 :]:
                        left, right = (a, b) if rng.random() < 0.5 else (b, a)
                        gap = score[left] - score[right]
                        battles.append(
                            Battle(
                                left=left,
                                right=right,
                                outcome="left" if gap > 0 else "right" if gap < 0 else "tie",
                                question="overall quality",
                                rater=f"rater-{rater}",
                                prompt_id=prompt,
                            )
                        )
    return code_battles(battles)


def test_alpha_of_the_published_example():
    assert krippendorff_alpha(counts_of_codes(PUBLISHED, range(1, 6))) == pytest.approx(0.743, abs=5e-4)


def test_alpha_is_one_when_all_agree_and_near_zero_by_chance():
    assert krippendorff_alpha(np.array([[3, 0], [0, 3], [3, 0]])) == pytest.approx(1)
    chance = np.random.default_rng(0).multinomial(5, [0.25] * 4, size=4000)
    assert krippendorff_alpha(chance) == pytest.approx(0, abs=0.01)


def test_alpha_is_undefined_without_shared_units_or_variety():
    assert krippendorff_alpha(np.array([[1, 0], [0, 1]])) is None
    assert krippendorff_alpha(np.array([[3, 0], [2, 0]])) is None


def test_alpha_agrees_with_evalica():
    evalica, pd = pytest.importorskip("evalica"), pytest.importorskip("pandas")
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 4, (6, 80))
    codes[:, :40] = codes[0, :40]
    cells = np.where(rng.random(codes.shape) < 0.3, None, codes.astype(object))
    expected = evalica.alpha(pd.DataFrame(cells), distance="nominal").alpha
    found = krippendorff_alpha(counts_of_codes([list(row) for row in cells], range(4)))
    assert found == pytest.approx(expected, abs=1e-10)


def test_units_join_the_two_ways_round_and_keep_questions_and_replicates_apart():
    def battle(left, right, outcome, rater, question="quality", replicate=0):
        return Battle(
            left=left,
            right=right,
            outcome=outcome,
            rater=rater,
            question=question,
            prompt_id="p",
            replicate=replicate,
        )

    table = code_battles(
        [
            battle("a", "b", "left", "r1"),
            battle("b", "a", "right", "r2"),
            battle("a", "b", "right", "r2"),  # the same rater again: the first answer counts
            battle("a", "b", "left", "r1", replicate=1),
            battle("a", "b", "left", "r2", question="alignment"),
        ]
    )
    assert shared_votes(table).counts().tolist() == [[2, 0, 0, 0]]


def test_percent_agreement_and_repeat_consistency_by_hand():
    rows = [
        ("p1", "r1", "left"),
        ("p1", "r2", "left"),
        ("p1", "r3", "tie"),
        ("p2", "r1", "right"),
        ("p2", "r2", "right"),
    ]
    battles = [Battle(left="a", right="b", outcome=o, rater=r, prompt_id=p) for p, r, o in rows]
    battles += [
        Battle(left="b", right="a", outcome="right", rater="r1", prompt_id="p1", kind="repeat"),
        Battle(left="b", right="a", outcome="right", rater="r2", prompt_id="p2", kind="repeat"),
        Battle(left="b", right="a", outcome="right", rater="r3", prompt_id="p2", kind="repeat"),
    ]
    found = agreement(code_battles(battles))
    assert found.percent == pytest.approx(2 / 4)
    assert (found.units, found.votes) == (2, 5)
    assert (found.repeats, found.repeat_consistency) == (2, 0.5)


def test_ceiling_is_the_share_of_pairs_of_decided_votes_that_agree():
    """By hand: p1 has left, left, right (1 of 3 pairs agree), p2 right, right and a tie that does not count."""
    rows = [
        ("p1", "r1", "left"),
        ("p1", "r2", "left"),
        ("p1", "r3", "right"),
        ("p2", "r1", "right"),
        ("p2", "r2", "right"),
        ("p2", "r3", "tie"),
    ]
    found = agreement(
        code_battles(Battle(left="a", right="b", outcome=o, rater=r, prompt_id=p) for p, r, o in rows)
    )
    assert (found.ceiling, found.ceiling_pairs) == (pytest.approx(2 / 4), 4)


def full_round(rng, raters, prompts):
    """Every rater judges one pair on every prompt; (raters, prompts) outcomes with crossed effects."""
    d = 0.3 + 0.9 * rng.standard_normal((raters, 1)) + 0.9 * rng.standard_normal((1, prompts))
    weights = np.exp(np.stack([d / 2, -d / 2, np.full(d.shape, -0.7)]))
    steps = np.cumsum(weights / weights.sum(axis=0), axis=0)
    return (rng.random(d.shape) > steps).sum(axis=0)


def table_of(codes):
    raters, prompts = codes.shape
    return code_battles(
        Battle(
            left="a",
            right="b",
            outcome=("left", "right", "tie")[codes[r, p]],
            rater=f"r{r}",
            prompt_id=f"p{p}",
        )
        for r in range(raters)
        for p in range(prompts)
    )


def test_alpha_and_ceiling_intervals_hold_with_seven_raters():
    """The truth is that of 1,500 raters on 1,500 prompts; prompts alone would hold about 84%."""
    rng = np.random.default_rng(3)
    many = full_round(rng, 1500, 1500)
    counts = np.stack([(many == k).sum(axis=0) for k in range(3)], axis=1)
    alpha = krippendorff_alpha(counts)
    left, right = counts[:, 0], counts[:, 1]
    both = left + right
    ceiling = (left * (left - 1) + right * (right - 1)).sum() / (both * (both - 1)).sum()
    held = np.zeros(2)
    for _ in range(150):
        found = agreement(table_of(full_round(rng, 7, 50)))
        held += [
            found.alpha_low <= alpha <= found.alpha_high,
            found.ceiling_low <= ceiling <= found.ceiling_high,
        ]
    assert (held / 150 > 0.9).all()


def test_leaving_out_a_rater_is_alpha_of_the_others():
    """Influence of a rater by the sums that the jackknife takes off, against alpha of the table without them."""
    codes = full_round(np.random.default_rng(1), 6, 20)
    codes[2:, ::3] = 3  # Some units fall to one vote when a rater is left out.
    rows = [
        Battle(left="a", right="b", outcome=("left", "right", "tie")[c], rater=f"r{r}", prompt_id=f"p{p}")
        for (r, p), c in np.ndenumerate(codes)
        if c < 3
    ]
    votes = shared_votes(code_battles(rows))
    counts = votes.counts()
    whole, terms = _alpha_terms(counts).sum(axis=0), _alpha_terms(counts)
    without = counts[votes.unit].copy()
    without[np.arange(len(without)), votes.outcome] -= 1
    lost = terms[votes.unit] - _alpha_terms(without)
    for rater in range(6):
        ours = _alpha((whole - lost[votes.rater == rater].sum(axis=0))[None])[0]
        others = shared_votes(code_battles([row for row in rows if row.rater != f"r{rater}"]))
        assert ours == pytest.approx(krippendorff_alpha(others.counts()), abs=1e-12)


def test_agreement_says_why_it_is_missing():
    table = simulate_votes(Design(strengths=(0.1, -0.1)), 1)
    assert "needs the rater" in agreement(replace(table, rater=None)).note
    lonely = simulate_votes(Design(strengths=(0.1, -0.1), raters=1, votes_per_rater=5, prompts=1000), 1)
    assert "judged by two" in agreement(lonely).note


def test_consistency_counts_only_the_others(votes):
    rows = [("a", "b", 0, "x", 1), ("a", "b", 0, "y", 1), ("b", "a", 1, "y", 2), ("a", "b", 1, "z", 1)]
    # x: others lead a by 2-1; y: others are split 1-1; z: others lead a by 3.
    assert rater_consistency(votes(rows)) == pytest.approx([1.0, 0.5, 0.0])


def test_imagenhub_has_the_ties_and_the_order_that_are_documented(imagenhub):
    decided = int((imagenhub.outcome < 2).sum())
    assert (decided, len(imagenhub) - decided) == (7896, 4515)
    fit = davidson(imagenhub.contenders, count_votes(imagenhub))
    by_strength = [imagenhub.contenders[i] for i in np.argsort(-fit.strength)]
    assert by_strength[:2] == ["DALLE3", "Midjourney"]
    assert set(by_strength[-3:]) == {"DALLE", "OpenJourney", "SD"}


def test_imagenhub_prompts_hang_together_more_than_votes_allow(imagenhub):
    fit = bradley_terry(imagenhub.contenders, count_votes(imagenhub))
    vote = marginal_errors(covariance(fit, imagenhub, "vote").matrix, None)
    prompt = marginal_errors(covariance(fit, imagenhub, "prompt").matrix, None)
    assert (prompt > 1.1 * vote).all()


def test_imagenhub_agreement_agrees_with_evalica(imagenhub):
    evalica, pd = pytest.importorskip("evalica"), pytest.importorskip("pandas")
    found = agreement(imagenhub)
    swapped = imagenhub.left > imagenhub.right
    outcome = np.where(swapped & (imagenhub.outcome < 2), 1 - imagenhub.outcome, imagenhub.outcome)
    low, high = np.minimum(imagenhub.left, imagenhub.right), np.maximum(imagenhub.left, imagenhub.right)
    frame = pd.DataFrame(
        {"rater": imagenhub.rater, "unit": (imagenhub.prompt * 7 + low) * 7 + high, "value": outcome}
    ).pivot_table(index="rater", columns="unit", values="value")
    expected = evalica.alpha(frame, distance="nominal").alpha
    assert found.alpha == pytest.approx(expected, abs=1e-9)
    assert found.alpha_low < found.alpha < found.alpha_high
    assert found.units == 197 * 21


def test_imagenhub_document_warns_of_three_raters(imagenhub):
    block = rate(imagenhub, options=Options(bootstrap=100, shuffles=3)).questions["overall quality"]
    assert "the 3 raters count as 3.0 (Kish): intervals rest on little" in block.notes
    assert block.robustness.condorcet.winner == "DALLE3"
    assert block.ratings[0].contender == "DALLE3"
    assert block.ratings[0].rank_low == 1
