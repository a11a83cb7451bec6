"""Fréchet distances against closed forms, scipy, repetition and plain bootstraps."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

import bench.metrics.frechet as frechet
from bench.errors import InputError
from bench.metrics.frechet import Moments
from bench.metrics.intervals import bootstrap_means, resamples


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


@pytest.mark.parametrize("n", [15, 90])
def test_weights_are_repetitions(n: int) -> None:
    x, y = rows(n, 30, 1), rows(100, 30, 2)
    reference = frechet.moments(y)
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n))
    repeated = np.repeat(x, weights, axis=0)
    expected = scipy_frechet(repeated, y)
    assert frechet.WeightedFrechet(x, reference).distance(weights) == pytest.approx(expected, rel=1e-4)


def test_infinite_distance_removes_most_of_the_bias_of_a_small_set() -> None:
    random = np.random.default_rng(4)
    reference = Moments(mean=np.zeros(10), covariance=np.eye(10), factor=None, n=0)
    everything = np.ones(400, dtype=int)
    spaces = [frechet.WeightedFrechet(random.standard_normal((400, 10)), reference) for _ in range(40)]
    plain = np.mean([space.distance(everything) for space in spaces])
    assert abs(np.mean([space.infinity(everything, seed=i) for i, space in enumerate(spaces)])) < plain / 3


def test_first_order_effects_give_the_spread_of_an_exact_bootstrap() -> None:
    """Standard error over prompts of three images each: exact reweighting against one pass of effects."""
    random = np.random.default_rng(5)
    groups = np.repeat(np.arange(200), 3)
    x = rows(600, 6, 1) + 0.4 * random.standard_normal((200, 6))[groups]
    reference = frechet.moments(rows(800, 6, 2, 1.3) + 0.5)
    space = frechet.WeightedFrechet(x, reference)
    exact = np.std([space.distance(w) for w in resamples(groups, 300, seed=0)])
    effects = frechet.influence(x, frechet.moments(x), reference)
    first_order = np.std(bootstrap_means(effects, groups, replicates=1000))
    assert first_order == pytest.approx(exact, rel=0.12)


@pytest.mark.parametrize("fault", ["a feature that never fires", "copies of eight pictures"])
def test_a_collapsed_set_has_an_interval_too(fault: str) -> None:
    """Its covariance is singular: there is no inverse to take."""
    x, reference = rows(400, 10, 1), frechet.moments(rows(500, 10, 2, 1.3) + 0.5)
    if fault.startswith("copies"):
        x = np.tile(x[:8], (50, 1))
    else:
        x[:, 3] = 0
    groups = np.arange(len(x))
    space = frechet.WeightedFrechet(x, reference)
    exact = np.std([space.distance(w) for w in resamples(groups, 300, seed=0)])
    effects = frechet.influence(x, frechet.moments(x), reference)
    assert np.std(bootstrap_means(effects, groups, replicates=1000)) == pytest.approx(exact, rel=0.15)


def test_the_effect_of_an_image_is_what_weighing_it_more_adds() -> None:
    x, reference = rows(50, 4, 1), frechet.moments(rows(60, 4, 2) + 0.2)
    own = frechet.moments(x)
    effects = frechet.influence(x, own, reference)
    space, step = frechet.WeightedFrechet(x, reference), 1e-5
    for i in (0, 17, 49):
        weights = np.ones(50)
        weights[i] += step * 50
        # ddof and the weights' sum move the distance too, for every image alike.
        alike = space.distance(np.full(50, 1 + step))
        added = (space.distance(weights) - alike) / step
        assert added == pytest.approx(effects[i], rel=0.05, abs=0.02)


def test_extrapolation_streams_to_the_same_intercept_as_in_memory() -> None:
    x, reference = rows(300, 5, 3), frechet.moments(rows(400, 5, 4) + 0.1)
    whole = frechet.WeightedFrechet(x, reference).infinity(np.ones(300, int), seed=3)
    assert frechet.extrapolated(x, reference, seed=3) == pytest.approx(whole, rel=1e-8)


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
