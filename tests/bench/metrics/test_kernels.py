"""KID and CMMD against double loops over other libraries' kernels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel as sklearn_kernel

import bench.metrics.kernels as kernels
from bench.errors import InputError
from bench.metrics.intervals import bootstrap_means, resamples


def rows(n: int, d: int, seed: int, scale: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return scale * random.standard_normal((n, d)) @ random.standard_normal((d, d)) / np.sqrt(d)


def test_kernel_distance_equals_a_double_loop_over_sklearn_kernel() -> None:
    x, y = rows(12, 5, 1), rows(9, 5, 2)
    kernel = [sklearn_kernel(a, b, degree=3, gamma=1 / 5, coef0=1) for a, b in ((x, x), (y, y), (x, y))]
    xx = sum(kernel[0][i, j] for i in range(12) for j in range(12) if i != j) / (12 * 11)
    yy = sum(kernel[1][i, j] for i in range(9) for j in range(9) if i != j) / (9 * 8)
    assert kernels.polynomial_mmd(x, y) == pytest.approx(xx + yy - 2 * kernel[2].mean(), rel=1e-10)


def test_kernel_distance_is_unbiased_and_sees_a_shift() -> None:
    random = np.random.default_rng(0)
    same = [
        kernels.polynomial_mmd(random.standard_normal((30, 4)), random.standard_normal((30, 4)))
        for _ in range(300)
    ]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(300)
    assert kernels.polynomial_mmd(rows(30, 4, 1), rows(30, 4, 2) + 1) > 5 * np.std(same)


def test_cmmd_is_zero_of_itself_and_matches_the_formula() -> None:
    x, y = rows(10, 6, 1), rows(11, 6, 2)
    assert kernels.cmmd(x, x) == pytest.approx(0, abs=1e-9)
    u, v = (r / np.linalg.norm(r, axis=1, keepdims=True) for r in (x, y))

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([[np.exp(-np.square(p - q).sum() / 200) for q in b] for p in a]))

    assert kernels.cmmd(x, y) == pytest.approx(1000 * (mean(u, u) + mean(v, v) - 2 * mean(u, v)), rel=1e-8)


@pytest.mark.parametrize("name", ["kid", "cmmd"])
def test_first_order_effects_give_the_spread_of_an_exact_bootstrap(name: str) -> None:
    groups = np.repeat(np.arange(150), 2)
    x, y = rows(300, 5, 1) + 0.6, rows(280, 5, 2)
    weights = np.stack(list(resamples(groups, 400, seed=0)))
    if name == "kid":
        exact, kernel, scale = kernels.weighted_mmd(x, y, weights), kernels.polynomial_kernel, 1
    else:
        exact, kernel, scale = kernels.weighted_cmmd(x, y, weights), kernels.gaussian_kernel, 1000
    effects = scale * kernels.influence(x, y, kernel)
    assert np.std(bootstrap_means(effects, groups)) == pytest.approx(np.std(exact), rel=0.15)


def test_streamed_cmmd_equals_the_one_in_memory() -> None:
    x, y = rows(30, 4, 1), rows(25, 4, 2)
    whole = kernels.weighted_cmmd(x, y, np.ones((1, 30)))[0]
    assert kernels.cmmd(x, y) == pytest.approx(whole, rel=1e-9)


def test_features_of_two_extractors_are_refused() -> None:
    with pytest.raises(InputError, match="3 and 4"):
        kernels.kernel_distance(np.ones((5, 3)), np.ones((5, 4)))
