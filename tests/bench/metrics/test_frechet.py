"""Fréchet distances against closed forms, scipy, repetition and plain bootstraps."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

import bench.metrics.frechet as frechet
from bench.errors import InputError
from bench.metrics.frechet import Moments


def gaussian(mean: float, variance: float, d: int = 8) -> Moments:
    return Moments(mean=np.full(d, mean), covariance=variance * np.eye(d), factor=None, n=100)


def rows(n: int, d: int, seed: int, scale: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return scale * random.standard_normal((n, d)) @ random.standard_normal((d, d)) / np.sqrt(d)


def scipy_frechet(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b)
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a) + np.trace(b) - 2 * np.trace(root).real)


def test_frechet_of_shifted_unit_gaussians_is_the_squared_shift() -> None:
    assert frechet.frechet_distance(gaussian(0, 1), gaussian(3, 1)) == pytest.approx(72, abs=1e-9)


def test_frechet_of_scaled_gaussians_is_the_squared_difference_of_scales() -> None:
    assert frechet.frechet_distance(gaussian(0, 4), gaussian(0, 9)) == pytest.approx(8, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(200, 150), (20, 30), (20, 150), (150, 20)])
def test_frechet_equals_scipy_square_root_for_every_shape(n: int, m: int) -> None:
    x, y = rows(n, 40, 1), rows(m, 40, 2, 1.5) + 0.3
    ours = frechet.frechet_distance(frechet.moments(x), frechet.moments(y))
    # The root of a singular product is where scipy itself is good to about 1e-5 only.
    assert ours == pytest.approx(scipy_frechet(x, y), rel=1e-9 if min(n, m) > 40 else 1e-4)


def test_frechet_is_symmetric_and_zero_of_itself() -> None:
    for n in (20, 200):
        a, b = frechet.moments(rows(n, 40, 1)), frechet.moments(rows(n, 40, 2))
        assert frechet.frechet_distance(a, b) == pytest.approx(frechet.frechet_distance(b, a), rel=1e-9)
        assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_streamed_moments_equal_numpy_for_any_blocks() -> None:
    x = rows(503, 7, 3) + 1e3
    total = frechet.MomentsAccumulator(7)
    for start in range(0, 503, 61):
        total.add(x[start : start + 61])
    found = total.result()
    assert found.covariance is not None
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-9)


def refitted(x: np.ndarray, reference: Moments, groups: np.ndarray) -> list[float]:
    """The definition of a jackknife: every distance computed anew."""
    return [
        frechet.frechet_distance(frechet.moments(x[groups != g]), reference) for g in range(groups.max() + 1)
    ]


@pytest.mark.parametrize(
    ("n", "d", "images", "m"),
    [(40, 8, 1, 50), (40, 8, 4, 50), (43, 20, 4, 10), (40, 60, 1, 200), (40, 60, 4, 200), (40, 41, 2, 30)],
)
def test_leaving_a_prompt_out_equals_computing_anew(n: int, d: int, images: int, m: int) -> None:
    """More images than dimensions and fewer, a reference of fewer images than dimensions, uneven prompts."""
    x, reference = rows(n, d, 1) + 0.1, frechet.moments(rows(m, d, 2, 1.3))
    groups = np.arange(n) // images
    expected = refitted(x, reference, groups)
    found = frechet.leave_out(x, reference, groups)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.std(expected), rtol=0)


@pytest.mark.parametrize("fault", ["a feature that never fires", "a feature of one image", "copies"])
def test_leaving_out_holds_where_the_covariance_is_singular(fault: str) -> None:
    x, reference = rows(60, 6, 1), frechet.moments(rows(90, 6, 2, 1.3) + 0.5)
    if fault == "copies":
        x = np.tile(x[:8], (8, 1))
    else:
        x[:, 3] = 0
        x[7, 3] = fault == "a feature of one image"
    groups = np.arange(len(x))
    expected = refitted(x, reference, groups)
    found = frechet.leave_out(x, reference, groups)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.std(expected), rtol=0)


def test_extrapolation_is_the_intercept_of_a_line_over_the_reciprocal_size() -> None:
    x, reference = rows(300, 5, 3), frechet.moments(rows(400, 5, 4) + 0.1)
    random, sizes = np.random.default_rng(7), np.linspace(30, 300, 15).astype(int)
    distances = [scipy_frechet(x[random.permutation(300)[:s]], rows(400, 5, 4) + 0.1) for s in sizes]
    value, shares = frechet.extrapolated(x, reference, seed=7)
    assert value == pytest.approx(np.polyfit(1 / sizes, distances, 1)[1], rel=1e-6)
    assert shares.sum() == pytest.approx(1)
    assert shares.shape == (300,)


@pytest.mark.parametrize(("n", "d"), [(50, 16), (640, 64), (30, 64)])
def test_the_floor_is_what_draws_from_the_reference_score(n: int, d: int) -> None:
    variances = np.arange(1.0, d + 1) ** -1
    turn = np.linalg.qr(rows(d, d, 3))[0]
    reference = Moments(mean=np.zeros(d), covariance=turn * variances @ turn.T, factor=None, n=0)
    random = np.random.default_rng(2)
    drawn = [
        frechet.frechet_distance(
            frechet.moments(random.standard_normal((n, d)) * np.sqrt(variances) @ turn.T), reference
        )
        for _ in range(40)
    ]
    floors = [frechet.gaussian_floor(reference, [n // 2, n], seed=seed)[1] for seed in range(40)]
    assert np.mean(floors) == pytest.approx(np.mean(drawn), rel=0.04)


def test_the_floor_of_many_images_is_the_first_term_of_its_series() -> None:
    """1/(2N) [sum of l_i l_j / (l_i + l_j) + half the trace] + trace / N, from the second derivative."""
    variances, n = np.arange(1.0, 9) ** -1, 4000
    reference = Moments(mean=np.zeros(8), covariance=np.diag(variances), factor=None, n=0)
    a = variances[:, None]
    series = ((a * variances / (a + variances)).sum() / 2 + variances.sum() * 1.25) / n
    floors = [frechet.gaussian_floor(reference, [n], seed=seed)[0] for seed in range(60)]
    assert np.mean(floors) == pytest.approx(series, rel=0.06)


def test_impossible_features_are_refused() -> None:
    bad = np.ones((5, 3))
    bad[2, 1] = np.nan
    for call in (
        lambda: frechet.moments(bad),
        lambda: frechet.moments(np.ones((1, 3))),
        lambda: frechet.frechet_distance(gaussian(0, 1, 3), gaussian(0, 1, 4)),
    ):
        with pytest.raises(InputError):
            call()
