"""Covariance, joint intervals, ranks, bootstrap: against brute force, closed forms, simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import InputError
from bench.ratings.bootstrap import cluster_bootstrap
from bench.ratings.covariance import bread_of, covariance
from bench.ratings.fits import count_votes, davidson, log_likelihood
from bench.ratings.simulation import Design, population_fit, simulate_votes
from bench.ratings.uncertainty import marginal_errors, rank_sets, simultaneous_differences, t_quantile
from bench.ratings.vote_table import code_battles, select
from bench.ratings.winrates import pair_rates
from tests.support.crossed_votes import CrossedDesign, drawn_votes, even, one_gives, truth

DESIGN = Design(strengths=(0.5, 0.1, -0.1, -0.5), raters=25, votes_per_rater=60, prompts=30, position=0.2)


@pytest.fixture(scope="module")
def table():
    return simulate_votes(replace(DESIGN, both_bad=0.1), 4)


@pytest.fixture(scope="module")
def fit(table):
    return davidson(table.contenders, count_votes(table))


def brute_force_scores(fit, table):
    """(votes, p) gradients of each vote's log-likelihood by finite differences: no score formula of ours."""
    at = np.concatenate([fit.strength, [fit.position, fit.tie]])
    rows = []
    for left, right, outcome in zip(table.left, table.right, table.outcome, strict=True):
        counts = np.zeros((1, fit.size, fit.size, 3))
        counts[0, left, right, outcome] = 1
        row = []
        for step in 1e-5 * np.eye(len(at)):
            up, down = (
                (log_likelihood(counts, (at + s)[None], ties=True, position=True)[0]) for s in (step, -step)
            )
            row.append((up - down) / 2e-5)
        rows.append(row)
    return np.array(rows)


def test_vote_level_sandwich_is_the_sum_over_votes(fit, table):
    scores = brute_force_scores(fit, select(table, table.outcome != 3))
    expected = bread_of(fit) @ (scores.T @ scores) @ bread_of(fit)
    assert covariance(fit, table, "vote").full == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("kind", ["rater", "prompt"])
def test_one_way_covariance_of_even_clusters_is_the_sandwich(kind):
    """Two contenders, so that nothing is moderated; every cluster of one size: G/(G-1) times the sum over clusters."""
    votes = simulate_votes(replace(DESIGN, strengths=(0.2, -0.2), raters=20, votes_per_rater=50), 5)
    votes = replace(votes, prompt=(np.arange(len(votes)) % 25).astype(np.int32))
    fitted = davidson(votes.contenders, count_votes(votes))
    scores, labels = brute_force_scores(fitted, votes), getattr(votes, kind)
    groups = np.unique(labels)
    sums = np.array([scores[labels == g].sum(axis=0) for g in groups])
    expected = bread_of(fitted) @ (sums.T @ sums) @ bread_of(fitted) * len(groups) / (len(groups) - 1)
    found = covariance(fitted, votes, kind)
    plain = covariance(fitted, votes, "vote").matrix
    assert found.matrix == pytest.approx(np.maximum(1, expected[0, 0] / plain[0, 0]) * plain, rel=0.01)
    assert found.freedom == pytest.approx(len(groups) - 1, rel=0.02)


def test_two_way_covariance_of_near_even_clusters_is_near_cameron_gelbach_and_miller(fit, table):
    votes = select(table, table.outcome != 3)
    scores = brute_force_scores(fit, votes)
    bread = bread_of(fit)

    def meat(labels):
        groups = np.unique(labels)
        sums = np.array([scores[labels == g].sum(axis=0) for g in groups])
        return sums.T @ sums * len(groups) / (len(groups) - 1)

    cell = votes.rater * 1000 + votes.prompt
    expected = bread @ (meat(votes.rater) + meat(votes.prompt) - meat(cell)) @ bread
    found = covariance(fit, table)
    counted = {"rater": 25, "prompt": 30, "cell": len(np.unique(cell)), "vote": len(votes)}
    assert found.clusters == counted
    assert np.trace(found.matrix) == pytest.approx(np.trace(expected[:4, :4]), rel=0.1)
    assert 24 < found.freedom < 24 + 29 + 20


def test_covariance_is_never_below_the_vote_level_one():
    plain = replace(DESIGN, rater_sd=0.0, prompt_sd=0.0)
    repaired = 0
    for seed in range(20):
        votes = simulate_votes(plain, seed)
        fitted = davidson(votes.contenders, count_votes(votes))
        two, one = covariance(fitted, votes), covariance(fitted, votes, "vote")
        repaired += two.repaired
        assert np.linalg.eigvalsh(two.matrix - one.matrix)[0] > -1e-9
        assert two.full[4, 4] >= one.full[4, 4]
    assert repaired > 0


def test_votes_in_unit_clusters_give_the_inverse_information_when_the_model_holds():
    votes = simulate_votes(replace(DESIGN, raters=200, votes_per_rater=300, rater_sd=0, prompt_sd=0), 8)
    fitted = davidson(votes.contenders, count_votes(votes))
    found = np.sqrt(np.diag(covariance(fitted, votes, "vote").full))
    assert found == pytest.approx(np.sqrt(np.diag(bread_of(fitted))), rel=0.05)


def test_clusters_that_the_table_lacks_are_refused(fit, table):
    with pytest.raises(InputError, match="needs a rater for every vote"):
        covariance(fit, replace(table, rater=None), "two-way")
    with pytest.raises(InputError, match="did you mean 'two-way'"):
        covariance(fit, table, "twoway")
    assert covariance(fit, replace(table, rater=None)).kind == "prompt"
    assert covariance(fit, replace(table, rater=None, prompt=None)).kind == "vote"


def test_joint_critical_value_of_two_is_student_and_of_many_is_tukey():
    from scipy.stats import studentized_range

    two = simultaneous_differences(np.array([0.1, -0.1]), np.eye(2), 20.0, draws=200_000)
    assert two.critical == pytest.approx(t_quantile(20.0), abs=0.02)
    many = simultaneous_differences(np.zeros(5), np.eye(5), 1000.0, draws=200_000)
    assert many.critical == pytest.approx(studentized_range.ppf(0.95, 5, 1000) / math.sqrt(2), abs=0.02)
    normal = simultaneous_differences(np.zeros(5), np.eye(5), math.inf, draws=200_000)
    assert normal.critical == pytest.approx(studentized_range.ppf(0.95, 5, np.inf) / math.sqrt(2), abs=0.02)


def test_joint_critical_value_with_few_clusters_is_that_of_means_of_few():
    """Means of 10 vectors over their own standard errors, drawn outright: what max-t stands for."""
    rng = np.random.default_rng(0)
    root = np.array([[1.0, 0, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 2, 0], [-0.5, 0, 0.5, 0.3]])
    first, second = np.triu_indices(4, 1)
    largest = []
    for _ in range(20):
        gaps = np.einsum("rkm,nm->rkn", rng.standard_normal((2000, 10, 4)), root)
        gaps = gaps[..., first] - gaps[..., second]
        largest.append(np.abs(gaps.mean(axis=1) / (gaps.std(axis=1, ddof=1) / math.sqrt(10))).max(axis=1))
    found = simultaneous_differences(np.zeros(4), root @ root.T, 9.0, draws=40_000)
    assert found.critical == pytest.approx(np.quantile(largest, 0.95), abs=0.05)


def test_contenders_that_never_differ_do_not_upset_the_others():
    """Two contenders with one and the same estimate: their difference has no variance at all."""
    root = np.array([[1.0, 0], [0, 1.0], [0, 1.0]])
    for freedom in (12.0, 5000.0, math.inf):
        found = simultaneous_differences(np.array([0.5, 0, 0]), root @ root.T, freedom)
        assert found.critical < 1.1 * t_quantile(freedom)
        assert found.p_adjusted[2] == 1


def test_adjusted_p_agrees_with_the_interval():
    found = simultaneous_differences(np.array([0.5, 0.2, 0.0, -0.7]), 0.02 * np.eye(4), 30.0)
    excludes = (found.low > 0) | (found.high < 0)
    assert ((found.p_adjusted < 0.05) == excludes).all()
    assert excludes.any()
    assert not excludes.all()


def test_rank_sets_of_clear_and_of_equal_contenders():
    clear = simultaneous_differences(np.array([2.0, 0.0, -2.0]), 0.001 * np.eye(3), 50.0)
    assert [part.tolist() for part in rank_sets(clear, 3)] == [[1, 2, 3], [1, 2, 3]]
    equal = simultaneous_differences(np.array([0.01, 0.0, -0.01]), np.eye(3), 50.0)
    assert [part.tolist() for part in rank_sets(equal, 3)] == [[1, 1, 1], [3, 3, 3]]
    shared = simultaneous_differences(np.array([1.0, 0.99, -2.0]), 0.01 * np.eye(3), 50.0)
    assert [part.tolist() for part in rank_sets(shared, 3)] == [[1, 1, 3], [2, 2, 3]]


def test_the_anchor_has_no_error_and_the_mean_has_one():
    matrix = np.array([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]])
    assert marginal_errors(matrix, 0) == pytest.approx([0, math.sqrt(6), math.sqrt(6)])
    assert marginal_errors(matrix, None) == pytest.approx([math.sqrt(2)] * 3)


def test_two_way_intervals_cover_where_vote_level_ones_do_not():
    """A small version of tests/performance/coverage.py, 150 repeats."""
    design = replace(DESIGN, raters=40, votes_per_rater=100, prompts=100)
    truth = population_fit(design).strength
    held = {"vote": 0, "two-way": 0}
    for seed in range(150):
        votes = simulate_votes(design, 1000 + seed)
        fitted = davidson(votes.contenders, count_votes(votes))
        for kind in held:
            found = covariance(fitted, votes, kind)
            half = t_quantile(found.freedom) * marginal_errors(found.matrix, None)
            held[kind] += (np.abs(fitted.strength - truth) <= half).sum()
    assert held["vote"] / 600 < 0.85
    assert 0.92 < held["two-way"] / 600 < 0.98


def test_bootstrap_by_rater_agrees_with_the_sandwich_and_does_not_depend_on_workers(fit, table):
    drawn = cluster_bootstrap(fit, table, replicates=1000, kind="rater", seed=3, workers=1)
    again = cluster_bootstrap(fit, table, replicates=1000, kind="rater", seed=3, workers=2)
    assert (drawn.strength == again.strength).all()
    assert drawn.unbounded == 0
    expected = marginal_errors(covariance(fit, table, "rater").matrix, None)
    assert drawn.strength.std(axis=0) == pytest.approx(expected, rel=0.12)


def test_bootstrap_counts_are_the_weighted_votes(fit, table):
    """The two-stage product against one loop over votes, with the same multiplicities."""
    from bench.ratings.bootstrap import _multiplicities, _Resampler

    votes = select(table, table.outcome != 3)
    resample = _Resampler(votes, fit.size, "two-way")
    counts, drawn_prompts = resample(3, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    by_prompt, by_rater = _multiplicities(30, 3, rng), _multiplicities(25, 3, rng)
    expected = np.zeros_like(counts)
    for left, right, outcome, rater, prompt in zip(
        votes.left, votes.right, votes.outcome, votes.rater, votes.prompt, strict=True
    ):
        expected[:, left, right, outcome] += by_rater[rater] * by_prompt[prompt]
    assert counts == pytest.approx(expected)
    assert (drawn_prompts == by_prompt.T).all()


def test_vote_bootstrap_is_the_inverse_information():
    votes = simulate_votes(replace(DESIGN, rater_sd=0, prompt_sd=0), 2)
    fitted = davidson(votes.contenders, count_votes(votes))
    drawn = cluster_bootstrap(fitted, votes, kind="vote", replicates=1000)
    expected = marginal_errors(bread_of(fitted)[:4, :4], None)
    assert drawn.strength.std(axis=0) == pytest.approx(expected, rel=0.12)


def test_vote_bootstrap_of_weighted_votes_agrees_with_the_sandwich():
    votes = simulate_votes(replace(DESIGN, rater_sd=0, prompt_sd=0), 2)
    votes = replace(votes, weight=np.where(np.arange(len(votes)) % 4 == 0, 3.1, 0.3))
    fitted = davidson(votes.contenders, count_votes(votes))
    drawn = cluster_bootstrap(fitted, votes, kind="vote", replicates=1000)
    expected = marginal_errors(covariance(fitted, votes, "vote").matrix, None)
    assert drawn.strength.std(axis=0) == pytest.approx(expected, rel=0.12)


UNEVEN = CrossedDesign(
    abilities=(0.5, 0.1, -0.1, -0.5),
    rater_shares=one_gives(0.5, 30),
    prompt_shares=even(60),
    votes=1800,
    rater_sd=0.6,
    prompt_sd=0.4,
)


def test_two_simulators_agree_on_the_truth():
    """Midpoint rule and a general optimiser against quadrature and our own fit."""
    design = Design(
        strengths=UNEVEN.abilities,
        rater_sd=0.6,
        prompt_sd=0.4,
        tie=math.log(UNEVEN.nu),
        position=UNEVEN.position,
    )
    assert truth(UNEVEN).abilities == pytest.approx(population_fit(design).strength, abs=2e-4)


def test_intervals_hold_where_one_rater_gives_half_of_the_votes():
    """60 studies by the second simulator; the two-way sandwich with min(G) - 1 degrees of freedom holds 75%."""
    known = truth(UNEVEN)
    first, second = np.triu_indices(4, 1)
    target = known.abilities[first] - known.abilities[second]
    fits, rates, joint = [], [], []
    for seed in range(60):
        table = code_battles(drawn_votes(UNEVEN, seed))
        fitted = davidson(table.contenders, count_votes(table))
        cover = covariance(fitted, table)
        assert 3.5 < cover.effective["rater"] < 4.3
        found = simultaneous_differences(fitted.strength, cover.matrix, cover.freedom, draws=2000)
        half = t_quantile(cover.freedom) * found.error
        fits.append((np.abs(found.difference - target) <= half).mean())
        joint.append(((found.low <= target) & (target <= found.high)).all())
        pairs = pair_rates(table)
        won = known.win_rates[pairs.first, pairs.second]
        rates.append(((pairs.rates.low <= won) & (won <= pairs.rates.high)).mean())
    assert 0.91 <= np.mean(fits) <= 0.995
    assert 0.91 <= np.mean(rates) <= 0.995
    assert np.mean(joint) >= 0.9
