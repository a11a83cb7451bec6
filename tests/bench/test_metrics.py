"""Closed forms, identities and other libraries' numbers for the algebra of the metrics."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from sklearn.metrics.pairwise import polynomial_kernel as sklearn_kernel

import bench.metrics as metrics
from bench.metrics import METRICS, Moments
from bench.records import InputError
from bench.score import STATISTICS


def gaussian(mean: float, variance: float, d: int = 8) -> Moments:
    return Moments(mean=np.full(d, mean), covariance=variance * np.eye(d), factor=None, n=100)


def rows(n: int, d: int, seed: int, scale: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return scale * random.standard_normal((n, d)) @ random.standard_normal((d, d)) / np.sqrt(d)


def scipy_frechet(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b)
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a) + np.trace(b) - 2 * np.trace(root).real)


def test_every_metric_has_a_statistic_and_says_what_it_cannot_tell() -> None:
    for name, metric in METRICS.items():
        assert metric.statistic in STATISTICS, name
        assert metric.tells
        assert metric.cannot
        assert metric.source


def test_frechet_of_shifted_unit_gaussians_is_the_squared_shift() -> None:
    assert metrics.frechet_distance(gaussian(0, 1), gaussian(3, 1)) == pytest.approx(72, abs=1e-9)


def test_frechet_of_scaled_gaussians_is_the_squared_difference_of_scales() -> None:
    assert metrics.frechet_distance(gaussian(0, 4), gaussian(0, 9)) == pytest.approx(8, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(200, 150), (20, 30), (20, 150), (150, 20)])
def test_frechet_equals_scipy_square_root_for_every_shape(n: int, m: int) -> None:
    x, y = rows(n, 40, 1), rows(m, 40, 2, 1.5) + 0.3
    ours = metrics.frechet_distance(metrics.moments(x), metrics.moments(y))
    # The root of a singular product is where scipy itself is good to about 1e-5 only.
    assert ours == pytest.approx(scipy_frechet(x, y), rel=1e-9 if min(n, m) > 40 else 1e-4)


def test_frechet_is_symmetric_and_zero_of_itself() -> None:
    for n in (20, 200):
        a, b = metrics.moments(rows(n, 40, 1)), metrics.moments(rows(n, 40, 2))
        assert metrics.frechet_distance(a, b) == pytest.approx(metrics.frechet_distance(b, a), rel=1e-9)
        assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_streamed_moments_equal_numpy_for_any_blocks() -> None:
    x = rows(503, 7, 3) + 1e3
    total = metrics.MomentsAccumulator(7)
    for start in range(0, 503, 61):
        total.add(x[start : start + 61])
    found = total.result()
    assert found.covariance is not None
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [15, 90])
def test_weights_are_repetitions(n: int) -> None:
    x, y = rows(n, 30, 1), rows(100, 30, 2)
    reference = metrics.moments(y)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n))
    repeated = np.repeat(x, weights, axis=0)
    expected = scipy_frechet(repeated, y)
    assert metrics.WeightedFrechet(x, reference).distance(weights) == pytest.approx(expected, rel=1e-4)


def test_infinite_distance_removes_most_of_the_bias_of_a_small_set() -> None:
    random = np.random.default_rng(4)
    reference = Moments(mean=np.zeros(10), covariance=np.eye(10), factor=None, n=0)
    everything = np.ones(400, dtype=int)
    spaces = [metrics.WeightedFrechet(random.standard_normal((400, 10)), reference) for _ in range(40)]
    plain = np.mean([space.distance(everything) for space in spaces])
    assert abs(np.mean([space.infinity(everything, seed=i) for i, space in enumerate(spaces)])) < plain / 3


def test_kernel_distance_equals_a_double_loop_over_sklearn_kernel() -> None:
    x, y = rows(12, 5, 1), rows(9, 5, 2)
    kernel = [sklearn_kernel(a, b, degree=3, gamma=1 / 5, coef0=1) for a, b in ((x, x), (y, y), (x, y))]
    xx = sum(kernel[0][i, j] for i in range(12) for j in range(12) if i != j) / (12 * 11)
    yy = sum(kernel[1][i, j] for i in range(9) for j in range(9) if i != j) / (9 * 8)
    assert metrics.polynomial_mmd(x, y) == pytest.approx(xx + yy - 2 * kernel[2].mean(), rel=1e-10)


def test_kernel_distance_is_unbiased_and_sees_a_shift() -> None:
    random = np.random.default_rng(0)
    same = [
        metrics.polynomial_mmd(random.standard_normal((30, 4)), random.standard_normal((30, 4)))
        for _ in range(300)
    ]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(300)
    assert metrics.polynomial_mmd(rows(30, 4, 1), rows(30, 4, 2) + 1) > 5 * np.std(same)


def test_cmmd_is_zero_of_itself_and_matches_the_formula() -> None:
    x, y = rows(10, 6, 1), rows(11, 6, 2)
    assert metrics.cmmd(x, x)[0] == pytest.approx(0, abs=1e-9)
    u, v = (r / np.linalg.norm(r, axis=1, keepdims=True) for r in (x, y))

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([[np.exp(-np.square(p - q).sum() / 200) for q in b] for p in a]))

    assert metrics.cmmd(x, y)[0] == pytest.approx(1000 * (mean(u, u) + mean(v, v) - 2 * mean(u, v)), rel=1e-8)


def test_neighbours_of_a_set_with_itself_are_all_found() -> None:
    x = rows(40, 3, 1)
    found = metrics.neighbours(x, x.copy())
    assert found.precision.all()
    assert found.recall.all()
    assert found.coverage.all()


def test_neighbours_equal_the_definitions_point_by_point() -> None:
    x, y = rows(25, 3, 1), rows(20, 3, 2) + 0.5
    far = lambda a, b: np.linalg.norm(a - b)  # noqa: E731
    ball = lambda s, i, k: sorted(far(s[i], p) for p in s)[k]  # noqa: E731
    found = metrics.neighbours(x, y, block=7)
    precision = [any(far(p, y[j]) < ball(y, j, 3) for j in range(20)) for p in x]
    recall = [any(far(q, x[i]) < ball(x, i, 3) for i in range(25)) for q in y]
    density = [sum(far(p, y[j]) < ball(y, j, 5) for j in range(20)) / 5 for p in x]
    coverage = [any(far(y[j], p) < ball(y, j, 5) for p in x) for j in range(20)]
    np.testing.assert_array_equal(found.precision, precision)
    np.testing.assert_array_equal(found.recall, recall)
    np.testing.assert_allclose(found.density, density)
    np.testing.assert_array_equal(found.coverage, coverage)


def test_cosine_score_is_one_hundred_for_parallel_and_zero_for_opposite() -> None:
    a = np.array([[1.0, 2.0], [1.0, 0.0], [1.0, 0.0]])
    b = np.array([[2.0, 4.0], [-1.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(metrics.cosine_scores(a, b), [100, 0, 100 / np.sqrt(2)])


def test_diversity_is_zero_for_copies_and_one_for_right_angles() -> None:
    x = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1], [5, 5]])
    values, groups = metrics.diversity(x, np.array([0, 0, 1, 1, 2]))
    np.testing.assert_allclose(values, [0, 1], atol=1e-12)
    np.testing.assert_array_equal(groups, [0, 1])


def test_duplicates_count_only_across_prompts() -> None:
    x = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    np.testing.assert_array_equal(metrics.near_duplicates(x, np.array([0, 0, 1, 2])), [0, 0, 1, 1])


def test_bootstrap_interval_covers_a_clustered_mean() -> None:
    """Images of a prompt share its effect; the interval over prompts covers 0 about 95 times in 100."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 4)
    hits = 0
    for trial in range(200):
        values = random.standard_normal(40)[groups] + 0.3 * random.standard_normal(160)
        ends = metrics.bootstrap_mean(values, groups, replicates=300, seed=trial)
        assert ends is not None
        hits += ends[0] <= 0 <= ends[1]
    assert 0.88 <= hits / 200 <= 0.985


def test_impossible_input_is_refused() -> None:
    bad = np.ones((5, 3))
    bad[2, 1] = np.nan
    for call in (
        lambda: metrics.moments(bad),
        lambda: metrics.moments(np.ones((1, 3))),
        lambda: metrics.frechet_distance(gaussian(0, 1, 3), gaussian(0, 1, 4)),
        lambda: metrics.kernel_distance(np.ones((5, 3)), np.ones((5, 4))),
        lambda: metrics.neighbours(np.ones((3, 3)), np.ones((9, 3))),
    ):
        with pytest.raises(InputError):
            call()
