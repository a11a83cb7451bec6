"""Fits against worked examples, other libraries, published fits, finite differences and conservation laws."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.ratings.covariance import bread_of
from bench.ratings.elo import elo, elo_add
from bench.ratings.fits import (
    SCALE,
    SeparationError,
    bradley_terry,
    count_votes,
    davidson,
    log_likelihood,
    newton,
    probabilities,
    score_and_information,
    to_ratings,
)
from bench.ratings.rate import Options, rate
from bench.ratings.simulation import Design, simulate_votes
from bench.ratings.sparse_fit import sparse_newton
from bench.ratings.uncertainty import marginal_errors


def counts_of(names: str, wins: dict[str, int], ties: dict[str, int] | None = None) -> np.ndarray:
    """'AB': 2 → A on the left beats B twice."""
    counts = np.zeros((len(names), len(names), 3))
    for outcome, table in ((0, wins), (2, ties or {})):
        for (a, b), n in table.items():
            counts[names.index(a), names.index(b), outcome] += n
    return counts


def random_counts(seed: int, m: int = 5, ties: bool = True) -> np.ndarray:
    counts = np.random.default_rng(seed).integers(1, 30, (m, m, 3)).astype(float)
    counts[np.arange(m), np.arange(m)] = 0
    counts[..., 2] *= ties
    return counts


def test_bradley_terry_worked_example():
    # Wins A-B 2:3, A-D 1:4, B-C 5:3, C-D 1:3; strengths with geometric mean 1.
    wins = {"AB": 2, "BA": 3, "AD": 1, "DA": 4, "BC": 5, "CB": 3, "CD": 1, "DC": 3}
    fit = bradley_terry(tuple("ABCD"), counts_of("ABCD", wins))
    assert np.exp(fit.strength) == pytest.approx([0.640, 1.043, 0.660, 2.270], abs=5e-4)


def test_elo_worked_example(votes):
    # K=30: pizza beats burger, sushi beats burger, pizza and sushi tie.
    rows = [("pizza", "burger", 0), ("sushi", "burger", 0), ("pizza", "sushi", 2)]
    table = votes(rows)
    found = dict(zip(table.contenders, elo(table, k=30), strict=True))
    assert found["pizza"] == pytest.approx(1014.972, abs=5e-4)
    assert found["burger"] == pytest.approx(970.647, abs=5e-4)
    assert found["sushi"] == pytest.approx(1014.381, abs=5e-4)


def test_published_fit_of_journal_citations(shared):
    with (shared / "votes" / "citations.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = tuple(sorted({row["winner"] for row in rows}))
    counts = np.zeros((4, 4, 3))
    for row in rows:
        counts[names.index(row["winner"]), names.index(row["loser"]), 0] += int(row["count"])
    fit = bradley_terry(names, counts)
    against = dict(zip(names, fit.strength - fit.strength[names.index("Biometrika")], strict=True))
    # BradleyTerry2 vignette (Turner and Firth), Stigler's data.
    assert against["Comm Statist"] == pytest.approx(-2.9491, abs=5e-5)
    assert against["JASA"] == pytest.approx(-0.4796, abs=5e-5)
    assert against["JRSS-B"] == pytest.approx(0.2690, abs=5e-5)


# American League 1987, wins at home of the row's team against the column's, then of the visitors
# (Agresti 2002, Categorical Data Analysis, table 10.10); fit with home advantage and its standard errors,
# against Baltimore, as the BradleyTerry2 vignette gives them.
LEAGUE = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
AT_HOME = (
    ((0, 0), (4, 3), (4, 2), (4, 3), (6, 1), (4, 2), (6, 0)),
    ((3, 3), (0, 0), (4, 2), (4, 3), (6, 0), (6, 1), (4, 3)),
    ((2, 5), (4, 3), (0, 0), (2, 4), (4, 3), (4, 2), (6, 0)),
    ((3, 3), (5, 1), (2, 5), (0, 0), (4, 3), (4, 2), (6, 1)),
    ((5, 1), (2, 5), (3, 3), (4, 2), (0, 0), (5, 2), (6, 0)),
    ((2, 5), (3, 3), (3, 4), (4, 3), (4, 2), (0, 0), (2, 4)),
    ((2, 5), (1, 5), (1, 6), (2, 4), (1, 6), (3, 4), (0, 0)),
)
PUBLISHED_LEAGUE = (1.6196, 1.4754, 1.3271, 1.2813, 1.1438, 0.7047)
PUBLISHED_ERRORS = (0.3474, 0.3446, 0.3403, 0.3404, 0.3378, 0.3350)


def test_published_fit_of_baseball_with_home_advantage():
    counts = np.zeros((7, 7, 3))
    counts[..., :2] = AT_HOME
    fit = bradley_terry(LEAGUE, counts, position=True)
    assert fit.strength[:6] - fit.strength[6] == pytest.approx(PUBLISHED_LEAGUE, abs=5e-5)
    assert fit.position == pytest.approx(0.3023, abs=5e-5)
    covariance = bread_of(fit)
    assert marginal_errors(covariance[:7, :7], 6)[:6] == pytest.approx(PUBLISHED_ERRORS, abs=5e-5)
    assert math.sqrt(covariance[7, 7]) == pytest.approx(0.1309, abs=5e-5)


def test_published_davidson_fit_of_puddings():
    # Davidson 1970, JASA 65(329), example: six puddings, preferences and ties; worths and ν as published there.
    rows = "12 19 22 16,13 16 19 12,23 19 19 10,14 18 23 13,24 23 19 9,34 19 20 15,15 13 19 18,25 16 20 12,"
    rows += "35 16 15 17,45 17 14 16,16 18 21 12,26 22 20 12,36 13 18 10,46 14 19 18,56 11 21 12"
    counts = np.zeros((6, 6, 3))
    for row in rows.split(","):
        pair, *votes = row.split()
        counts[int(pair[0]) - 1, int(pair[1]) - 1] = [int(n) for n in votes]
    fit = davidson(tuple("123456"), counts, position=False)
    worth = np.exp(fit.strength) / np.exp(fit.strength).sum()
    assert worth == pytest.approx([0.1388, 0.1730, 0.1617, 0.1654, 0.1587, 0.2024], abs=6e-5)
    assert math.exp(fit.tie) == pytest.approx(0.7468, abs=6e-5)


@pytest.mark.parametrize("seed", range(3))
def test_bradley_terry_agrees_with_choix(seed):
    choix = pytest.importorskip("choix")
    counts = random_counts(seed, ties=False)
    wins = counts[..., 0] + counts[..., 1].T
    expected = choix.opt_pairwise(
        5, [(i, j) for i in range(5) for j in range(5) for _ in range(int(wins[i, j]))], tol=1e-12
    )
    fit = bradley_terry(tuple("abcde"), counts)
    assert fit.strength == pytest.approx(expected - np.mean(expected), abs=1e-6)


def test_bradley_terry_with_half_ties_agrees_with_evalica():
    evalica = pytest.importorskip("evalica")
    table = simulate_votes(Design(strengths=(0.5, 0.2, -0.1, -0.6)), 3)
    winners = [evalica.Winner.X, evalica.Winner.Y, evalica.Winner.Draw]
    xs = [table.contenders[i] for i in table.left]
    ys = [table.contenders[i] for i in table.right]
    outcome = [winners[o] for o in table.outcome]
    scores = evalica.bradley_terry(xs, ys, outcome, tolerance=1e-14, limit=100_000).scores
    expected = np.log([scores[name] for name in table.contenders])
    fit = bradley_terry(table.contenders, count_votes(table))
    assert fit.strength == pytest.approx(expected - expected.mean(), abs=1e-6)
    theirs = evalica.elo(xs, ys, outcome, initial=1000, k=4).scores
    assert elo(table) == pytest.approx([theirs[name] for name in table.contenders], abs=1e-8)


@pytest.mark.parametrize("case", range(4))
def test_davidson_agrees_with_leaderbot(case):
    # Kept as numbers, source and versions in the file: leaderbot brings numba and takes 13 s to compile.
    golden = json.loads((Path(__file__).parent / "leaderbot.json").read_text())["cases"][case]
    m = len(golden["davidson"])
    counts = np.zeros((m, m, 3))
    for (first, second), votes in zip(golden["pairs"], golden["votes"], strict=True):
        counts[first, second] = votes
    names = tuple(f"m{i}" for i in range(m))
    fit = davidson(names, counts, position=False)
    assert fit.strength == pytest.approx(golden["davidson"], abs=1e-6)
    assert fit.tie == pytest.approx(golden["tie"], abs=1e-6)


def test_davidson_agrees_with_a_general_optimiser():
    from scipy.optimize import minimize

    counts = random_counts(11)

    def loss(x):
        d = x[:5, None] - x[None, :5] + x[5]
        parts = np.stack([d / 2, -d / 2, np.full((5, 5), x[6])], axis=-1)
        logs = parts - np.log(np.exp(parts).sum(axis=-1, keepdims=True))
        return -(counts * logs).sum() + x[:5].sum() ** 2

    best = minimize(loss, np.zeros(7), method="BFGS", options={"gtol": 1e-7})
    fit = davidson(tuple("abcde"), counts)
    assert fit.strength == pytest.approx(best.x[:5], abs=1e-6)
    assert (fit.position, fit.tie) == pytest.approx(tuple(best.x[5:]), abs=1e-6)


@pytest.mark.parametrize(("ties", "position"), [(True, True), (True, False), (False, True), (False, False)])
def test_score_and_information_are_the_derivatives(ties, position):
    counts = random_counts(1, 4, ties)[None]
    p = 4 + position + ties
    at = np.random.default_rng(0).normal(0, 0.5, (1, p))
    score, information = score_and_information(counts, at, ties=ties, position=position, penalty=0.3)
    step = 1e-5 * np.eye(p)

    def value(x):
        return log_likelihood(counts, x, ties=ties, position=position, penalty=0.3)[0]

    def gradient(x):
        return score_and_information(counts, x, ties=ties, position=position, penalty=0.3)[0][0]

    numeric = [(value(at + e) - value(at - e)) / 2e-5 for e in step]
    curve = [(gradient(at - e) - gradient(at + e)) / 2e-5 for e in step]
    assert score[0] == pytest.approx(numeric, abs=1e-4)
    assert information[0] == pytest.approx(np.array(curve), abs=1e-4)


def test_probabilities_add_up_at_any_strength():
    parts = probabilities(np.array([[0.0, 900.0, -900.0]]), np.array([0.3]), np.array([1.0]))
    assert sum(parts) == pytest.approx(np.ones((1, 3, 3)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_fitted_votes_are_the_votes_given(seed, m):
    """At the maximum the expected wins, ties and left wins equal those observed."""
    counts = random_counts(seed, m)
    fit = davidson(tuple("abcdef"[:m]), counts)
    position = None if fit.position is None else np.array([fit.position])
    first, second, third = (
        part[0] for part in probabilities(fit.strength[None], position, np.array([fit.tie]))
    )
    n = counts.sum(axis=2)
    lead = n * (first - second)
    observed = counts[..., 0] - counts[..., 1]
    assert lead.sum(axis=1) - lead.sum(axis=0) == pytest.approx(
        observed.sum(axis=1) - observed.sum(axis=0), abs=1e-6
    )
    assert (n * third).sum() == pytest.approx(counts[..., 2].sum(), abs=1e-6)
    assert fit.strength.sum() == pytest.approx(0, abs=1e-9)
    if fit.position is not None:
        assert lead.sum() == pytest.approx(observed.sum(), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_swapping_sides_only_turns_the_position_effect(seed):
    counts = random_counts(seed, 4)
    mirrored = counts.transpose(1, 0, 2)[..., [1, 0, 2]]
    fit, mirror = davidson(tuple("abcd"), counts), davidson(tuple("abcd"), mirrored)
    assert mirror.strength == pytest.approx(fit.strength, abs=1e-8)
    assert mirror.position == pytest.approx(-fit.position, abs=1e-8)


def test_position_and_ties_are_found_again():
    design = Design(
        strengths=(0.8, 0.0, -0.8), raters=400, votes_per_rater=250, rater_sd=0, prompt_sd=0, position=0.3
    )
    table = simulate_votes(design, 1)
    fit = davidson(table.contenders, count_votes(table))
    assert fit.strength == pytest.approx([0.8, 0, -0.8], abs=0.03)
    assert (fit.position, fit.tie) == pytest.approx((0.3, -0.7), abs=0.03)


def test_many_votes_cost_as_counts_and_fit_alike():
    counts = random_counts(2)
    few, many = davidson(tuple("abcde"), counts), davidson(tuple("abcde"), counts * 1e6)
    assert many.strength == pytest.approx(few.strength, abs=1e-9)


def test_a_winner_of_everything_is_named_and_gets_a_finite_rating_on_request():
    counts = counts_of("abc", {"ab": 5, "ac": 5, "bc": 3, "cb": 2})
    with pytest.raises(SeparationError, match=r"a never lost.*b, c never won"):
        davidson(tuple("abc"), counts)
    fit = davidson(tuple("abc"), counts, penalty=0.1)
    assert fit.strength[0] > 1
    assert np.abs(to_ratings(fit.strength) - 1000).max() < 1500


def test_groups_that_never_met_are_named():
    with pytest.raises(InputError, match=r"\{a, b\} and \{c, d\} never met"):
        davidson(tuple("abcd"), counts_of("abcd", {"ab": 2, "ba": 1, "cd": 2, "dc": 1}))


def test_ties_alone_are_an_error_that_says_so():
    for penalty in (0.0, 0.1):
        with pytest.raises(InputError, match="every vote is a tie"):
            davidson(tuple("ab"), counts_of("ab", {}, {"ab": 9}), penalty=penalty)


def test_no_votes_is_an_error():
    with pytest.raises(InputError, match="no left, right or tie"):
        davidson(tuple("ab"), np.zeros((2, 2, 3)))


def test_a_side_that_cannot_be_told_from_the_contender_is_not_estimated():
    fit = davidson(tuple("ab"), counts_of("ab", {"ab": 7}, {"ab": 3}) + counts_of("ab", {"ab": 0}), penalty=1)
    assert fit.position is None
    assert "cannot separate" in fit.notes[0]


def test_left_winning_always_is_not_an_infinite_position_effect():
    fit = davidson(tuple("ab"), counts_of("ab", {"ab": 5, "ba": 4}))
    assert fit.position is None
    assert any("no finite estimate" in note for note in fit.notes)
    assert fit.strength[0] - fit.strength[1] == pytest.approx(math.log(5 / 4), abs=1e-9)


def test_batched_newton_equals_one_by_one():
    batch = np.stack([random_counts(seed) for seed in range(6)])
    together, converged, _ = newton(batch, ties=True, position=True)
    assert converged.all()
    for counts, parameters in zip(batch, together, strict=True):
        alone = newton(counts[None], ties=True, position=True)[0][0]
        assert parameters == pytest.approx(alone, abs=1e-10)


def test_ratings_are_400_points_an_odds_factor_of_ten():
    assert to_ratings(np.array([math.log(10), 0.0]), anchor=1) == pytest.approx([1400, 1000])
    assert pytest.approx(173.717793) == SCALE


def test_elo_add_is_the_mean_of_plain_elo_over_shuffles():
    """A second implementation: one scalar loop a shuffle, same orders."""
    table = simulate_votes(Design(strengths=(0.4, 0.0, -0.4), raters=10, votes_per_rater=30), 5)
    found = elo_add([table], shuffles=7, seed=9)
    runs = []
    for seed in np.random.SeedSequence(9).spawn(7):
        ratings = [1000.0] * 3
        words = np.random.default_rng(seed).integers(0, 2**64, len(table), dtype=np.uint64)
        for vote in np.argsort(words >> np.uint64(5)):  # 27 cells are five bits
            a, b, o = table.left[vote], table.right[vote], table.outcome[vote]
            expected = 1 / (1 + 10 ** ((ratings[b] - ratings[a]) / 400))
            change = (1.0, 0.0, 0.5)[o] - expected
            ratings[a] += change
            ratings[b] -= change
        runs.append(ratings)
    assert found.rating == pytest.approx(np.mean(runs, axis=0), abs=1e-9)
    assert found.order_spread == pytest.approx(np.std(runs, axis=0, ddof=1), abs=1e-9)


def test_elo_add_of_a_long_study_is_the_mean_of_whole_shuffles():
    """The last votes of each shuffle against plain loops over all 9,000 votes, within the order noise of both."""
    table = simulate_votes(Design(strengths=(0.5, -0.1, -0.4), raters=90, votes_per_rater=100), 5)
    found = elo_add([table], shuffles=1000)
    assert found.played < len(table)
    assert found.shuffles == 1000
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(60):
        ratings = [1000.0] * 3
        for vote in rng.permutation(len(table)):
            a, b, o = table.left[vote], table.right[vote], table.outcome[vote]
            change = (1.0, 0.0, 0.5)[o] - 1 / (1 + 10 ** ((ratings[b] - ratings[a]) / 400))
            ratings[a] += change
            ratings[b] -= change
        runs.append(ratings)
    error = np.hypot(np.std(runs, axis=0, ddof=1) / math.sqrt(60), found.order_error)
    assert (np.abs(found.rating - np.mean(runs, axis=0)) < 4 * error).all()
    assert found.order_spread == pytest.approx(np.std(runs, axis=0, ddof=1), rel=0.35)
    assert found.order_error == pytest.approx(found.order_spread / math.sqrt(1000))


def test_fewer_shuffles_of_a_long_study_say_their_order_error(monkeypatch):
    monkeypatch.setattr("bench.ratings.elo.UPDATES", 20_000)
    table = simulate_votes(Design(strengths=(0.4, 0.0, -0.4), raters=10, votes_per_rater=40), 5)
    found = elo_add([table])
    assert (found.shuffles, found.played) == (50, 400)
    assert found.order_error == pytest.approx(found.order_spread / math.sqrt(50))


def test_elo_add_keeps_the_points_and_averages_questions():
    tables = [simulate_votes(Design(strengths=(0.4, -0.4)), seed) for seed in (1, 2)]
    both = elo_add(tables, shuffles=5)
    assert both.rating.sum() == pytest.approx(2000)
    first = elo_add(tables[:1], shuffles=5).rating
    assert both.rating[0] != pytest.approx(first[0], abs=1e-6)


@pytest.mark.parametrize(("position", "penalty"), [(True, 0.0), (False, 0.3)])
def test_sparse_steps_reach_the_estimates_of_dense_ones(position, penalty):
    strengths = tuple(np.random.default_rng(1).normal(0, 0.6, 40).tolist())
    votes = simulate_votes(Design(strengths=strengths, votes_per_rater=60, position=0.2), 1)
    counts = count_votes(votes)[..., :3]
    dense, converged, _ = newton(counts[None], ties=True, position=position, penalty=penalty)
    sparse, settled, _ = sparse_newton(counts, ties=True, position=position, penalty=penalty)
    assert converged.all()
    assert settled
    assert sparse == pytest.approx(dense[0], abs=1e-8)


def test_a_board_of_hundreds_has_wide_joint_intervals_and_rows_for_neighbours_only(monkeypatch):
    """The limit lowered, so that a small board takes the way of a large one."""
    votes = simulate_votes(Design(strengths=(0.6, 0.3, 0.0, -0.3, -0.6), votes_per_rater=60), 2)
    usual = rate(votes, options=Options(bootstrap=0, shuffles=0)).questions["overall"]
    for module in ("fits", "covariance", "uncertainty", "question_ratings", "document_rows"):
        monkeypatch.setattr(f"bench.ratings.{module}.MANY_CONTENDERS", 4)
    large = rate(votes, options=Options(bootstrap=0, shuffles=0)).questions["overall"]
    assert [row.rating for row in large.ratings] == pytest.approx(
        [row.rating for row in usual.ratings], abs=1e-4
    )
    width = {(row.a, row.b): row.high - row.low for row in usual.differences}
    assert len(large.differences) == 7  # Four neighbours, and the first with three more.
    assert all(row.high - row.low > 0.95 * width[row.a, row.b] for row in large.differences)
    assert any("by Bonferroni" in note for note in large.notes)
